/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * sys/queue.h, with help for clang's analyzer. TAILQ_REMOVE() writes through the element's pointer
 * to the link before it, and the analyzer does not know that this link is the head's own if the
 * element is the first: it takes the next TAILQ_FIRST() for the element that was freed. For the
 * analyzer alone, each TAILQ_FIRST() is therefore an element that it has not seen.
 */

#include <sys/queue.h>

#ifdef __clang_analyzer__
void *queue_first(const void *head);
#undef TAILQ_FIRST
#define TAILQ_FIRST(head) ((typeof((head)->tqh_first))queue_first(head))
#endif
