/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The repair of a volume whose disk is here while CloudStack says that it is attached to nothing.
 */

struct reattachment;
struct suspect;

/* The difference is new: the disk has the time of a device step to go. */
void reattach_later(struct suspect *suspect);
/* Ends in suspect_done(). An operation attaches the volume, if its time has come and nothing uses
 * the disk, its name or its export. */
void reattach(struct suspect *suspect);
void reattachment_cancel(struct reattachment *reattachment); /* for the owner of the suspect */
