/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is on the disks of mapped volumes is read and noted in their mappings, at the start and whenever a mapping gets
 * another disk.
 */

struct core;

struct content_probe;

/* Reads every disk that is mapped, and from now on follows the notices. */
struct content_probe *content_probe_new(struct core *core);
struct content_probe *content_probe_free(struct content_probe *probe); /* returns NULL, takes NULL */
/* Reads the volume's disk again if it was read while an operation worked on the volume. */
void content_probe_retry(struct content_probe *probe, const char *volume_id);
