/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A program that needs nothing, so that only the layer that is linked into it can lack
 * something. */

int main(void)
{
	return 0;
}
