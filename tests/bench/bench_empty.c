/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A program that does nothing, linked with the libraries of the daemon: what memory they cost by
 * being there. Its first line is written once they are loaded.
 */

#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("loaded\n");
	fflush(stdout);
	pause();
	return 0;
}
