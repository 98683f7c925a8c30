/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is on the disk of an attached volume. */

struct operation;

/* A step; what it found goes into the context. */
void op_attach_read(struct operation *operation);
