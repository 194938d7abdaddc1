/*
 * chat.c - asks a model of an infermesh one question and prints the answer as it comes.
 *
 * Build:  cc -o chat chat.c $(pkg-config --cflags --libs infermesh)
 * Run:    ./chat ipc:///run/user/1000/infermesh/router.ipc demo "What is a mesh?"
 */
#include <infermesh.h>
#include <stdio.h>

static int
fail(const struct infermesh_error *err)
{
	fprintf(stderr, "chat: %s\n", err->text);
	if (err->retry_after_ms > 0)
		fprintf(stderr, "chat: try again in %u ms\n", (unsigned)err->retry_after_ms);
	return 1;
}

static int
print_answer(struct infermesh_call *call)
{
	struct infermesh_event ev;
	struct infermesh_error err;

	for (;;) {
		if (infermesh_next(call, -1, &ev, &err) != INFERMESH_OK)
			return fail(&err);
		switch (ev.type) {
		case INFERMESH_START:
			fprintf(stderr, "[%s, cache: %s]\n", ev.model, ev.cache);
			break;
		case INFERMESH_DELTA:
			fputs(ev.content, stdout);
			fflush(stdout);
			break;
		case INFERMESH_END:
			printf("\n");
			fflush(stdout);
			fprintf(stderr, "[%u + %u tokens]\n", (unsigned)ev.usage.prompt_tokens,
				(unsigned)ev.usage.completion_tokens);
			return 0;
		default: /* later versions may have more */
			break;
		}
	}
}

int
main(int argc, char **argv)
{
	struct infermesh *mesh = NULL;
	struct infermesh_request *req;
	struct infermesh_call *call = NULL;
	struct infermesh_error err;
	int rc;

	if (argc != 4) {
		fprintf(stderr, "usage: chat ROUTER MODEL QUESTION   (libinfermesh %s)\n",
			infermesh_version());
		return 2;
	}
	if (infermesh_connect(argv[1], "chat-example", 5000, &mesh, &err) != INFERMESH_OK)
		return fail(&err);
	req = infermesh_request_new(argv[2]);
	if (req == NULL) {
		fprintf(stderr, "chat: out of memory\n");
		infermesh_close(mesh);
		return 1;
	}
	infermesh_request_message(req, "user", argv[3]);
	infermesh_request_max_tokens(req, 256);
	if (infermesh_generate(mesh, req, &call, &err) == INFERMESH_OK)
		rc = print_answer(call);
	else
		rc = fail(&err);
	infermesh_call_free(call);
	infermesh_request_free(req);
	infermesh_close(mesh);
	return rc;
}
