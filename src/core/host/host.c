/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Putting the layers between a disk and its users together. */

#include "core/host/host.h"

#include "core/host/activation.h"
#include "core/host/disk_rescan.h"
#include "core/host/suspended.h"

struct host *host_new(struct env *env, struct model *model)
{
	struct host *host = xnew(struct host);

	host->env = env;
	host->model = model;
	TAILQ_INIT(&host->activations);
	TAILQ_INIT(&host->claims);
	TAILQ_INIT(&host->rescans);
	suspended_init(host);
	return host;
}

struct host *host_free(struct host *host)
{
	if (!host)
		return NULL;
	activations_free(host);
	disk_rescans_free(host);
	suspended_fini(host);
	free(host);
	return NULL;
}
