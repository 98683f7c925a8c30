/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a terminal can show, and questions to the person before it. */

#include "base/buf.h"

/* Columns of the terminal behind fd; 0: fd is no terminal, or its width is not known. */
size_t terminal_columns(int fd);
/* A terminal that understands the usual sequences. */
bool terminal_can_draw(int fd);
/* A terminal that shows colours, and a user who wants them (no NO_COLOR). */
bool terminal_has_colours(int fd);

/* What a colour says; none needs to be seen, since each stands beside a word. */
enum style { STYLE_PLAIN, STYLE_HEADING, STYLE_GOOD, STYLE_WARNING, STYLE_BAD, STYLE_COUNT };
/* The sequences that begin and end a style. */
extern const char *const style_begins[STYLE_COUNT];
#define STYLE_END "\033[0m"
/* The style of a state's word, such as "failed". */
enum style style_of_word(const char *word);

/*
 * Adds a text from outside so that it cannot steer the terminal: controls, characters that turn
 * the direction of writing, and bytes that are no UTF-8 become '?'.
 */
void text_add_clean(struct buf *out, const char *text);
/* The columns that a clean text takes on a terminal: 2 for each wide character. */
size_t text_columns(const char *text);
/* Adds as much of a clean text as fits, with an ellipsis at the end if it does not fit whole. */
void text_add_cut(struct buf *out, const char *text, size_t columns);

/* A person is there to answer. */
bool terminal_can_ask(void);
/* Asks on stderr; all answers but yes are a no. */
bool terminal_ask(const char *question);
