/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A whole terminal that a program draws on, and gives back as it was. */

#include "base/buf.h"
#include "base/err.h"

struct screen;

/*
 * Takes the terminal behind stdout: its other screen, without echo. Signals of the terminal and of
 * whoever ends the program come through screen_read() from now on.
 */
int screen_open(struct screen **out, struct err *err);
/*
 * Gives the terminal back. If a signal asked for the end, returns its number, for screen_die().
 * Takes NULL.
 */
int screen_close(struct screen *screen);
/* Ends the program by a signal, as if the signal had not been caught; 0: does nothing. */
void screen_die(int number);

int screen_fd(const struct screen *screen); /* can be read: there is something for screen_read() */

enum screen_input { SCREEN_NOTHING, SCREEN_DRAW, SCREEN_QUIT };
/*
 * Handles all keys and signals that have come; suspends the program if the user wants that. DRAW:
 * the terminal is empty or has another size. QUIT: the user or a signal asks for the end.
 */
enum screen_input screen_read(struct screen *screen);

size_t screen_rows(const struct screen *screen);
size_t screen_columns(const struct screen *screen);
bool screen_has_colours(const struct screen *screen);
/*
 * Shows lines of clean text, with styles; lines that do not fit below are left out, and what is too
 * wide is cut. Writes only lines that have changed.
 */
void screen_draw(struct screen *screen, const char *lines);
