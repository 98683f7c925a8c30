/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program that asks a person at a terminal for a password on behalf of polkit. */

#include <stdbool.h>

/*
 * Starts it if the user is not root, sits at a terminal, and polkit's agent is installed. It ends
 * with volumectl. Returns true if it runs: then a call may take as long as the person does.
 */
bool agent_start(void);
void agent_stop(void);
