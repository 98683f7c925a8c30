/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads the contents of mapped volumes' disks and notes them in the mappings, at the start and
 * whenever a mapping gets another disk. */

struct content_probe;
struct engine;
struct env;
struct model;

/* From now on every mapping that gets another disk is noticed. */
struct content_probe *content_probe_new(struct env *env, struct model *model,
					struct engine *engine);
/* returns NULL, takes NULL */
struct content_probe *content_probe_free(struct content_probe *probe);
/* Reads every disk that is mapped now. */
void content_probe_start(struct content_probe *probe);
/* Reads the volume's disk again if it was read while an operation worked on the volume. */
void content_probe_retry(struct content_probe *probe, const char *volume_id);
