/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Putting the model together. The callers that load the store fill the model. */

#include "core/model/model.h"

#include <assert.h>

#include "core/model/commit.h"
#include "core/model/event.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/snapshot.h"
#include "core/model/stable_name.h"
#include "core/model/token.h"
#include "core/model/volume.h"

struct model *model_new(struct env *env)
{
	struct model *model = xnew(struct model);

	model->env = env;
	TAILQ_INIT(&model->touched);
	TAILQ_INIT(&model->changes);
	TAILQ_INIT(&model->notice_listeners);
	events_init(model, volumes_tell_changed);
	return model;
}

struct model *model_free(struct model *model)
{
	if (!model)
		return NULL;
	assert(TAILQ_EMPTY(&model->notice_listeners));
	changes_free(model);
	snapshots_forget(model);
	tokens_forget(model);
	exports_free(model);
	names_free(model);
	mappings_free(model);
	volumes_free(model);
	events_free(model);
	free(model);
	return NULL;
}
