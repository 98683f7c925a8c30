/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Telling of a drift. */

#include "core/rules/drift.h"
#include "spec/records.h"

struct model;

/* Fills all members but `repaired`; the caller clears the record. */
void drift_fill_record(struct drift_record *record, const struct drift_facts *facts,
		       const struct drift *drift);
/* An event and a log line. A device_path that is not true any more is emptied. */
void drift_event_tell(struct model *model, struct drift_record *record);
/* Says that a drift was found and repaired. */
void drift_event_repaired(struct model *model, const struct drift_facts *facts,
			  const struct drift *drift);
