/*
 * inference/local_folder.h - for tests of several models: a folder with model files and a manifest, and an operator of the local backend
 * (local_rig.h).
 */
#ifndef INFERENCE_LOCAL_FOLDER_H
#define INFERENCE_LOCAL_FOLDER_H

#include "inference/local_rig.h"

struct folder {
	char path[32];
	char manifest[128]; /* a line for the worker's entry */
};

/* The demo model's bytes, once a folder was made. */
extern uint8_t folder_demo[8 * 1024 * 1024];
extern size_t folder_demo_len;

/** Make one with the demo model as a.gguf and a manifest of 'models'. */
void folder_make(struct folder *f, const char *models);
void folder_remove(struct folder *f);

/** As an operator should: by renaming, since weights in use are mapped. */
void folder_write(const struct folder *f, const char *name, const void *data, size_t len);
void folder_write_manifest(const struct folder *f, const char *models);

/** Let the loop run for a moment. */
void folder_look(struct rig *r);

/** What operators see of 'name'; its state is "" if they do not see it. Valid until the next call. */
struct model_state folder_state(struct rig *r, const char *name);

/** Wait until 'name' is loaded, or is not. */
void folder_settled(struct rig *r, const char *name);

/** The gauge or counter 'name' of the backend. */
double folder_metric(struct rig *r, const char *name);

/* A change and how it went. */
struct turn {
	bool done;
	enum im_rc rc;
	char text[512], before[65], after[65];
};

/** Begin one. What the backend says to that, also in 't'. */
enum im_rc folder_begin(struct rig *r, enum model_change what, const char *name, struct turn *t);
bool folder_done(struct rig *r, const struct turn *t);

/** Both, and wait. */
enum im_rc folder_change(struct rig *r, enum model_change what, const char *name, struct turn *t);

#endif
