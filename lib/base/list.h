/*
 * base/list.h - intrusive doubly linked lists. The node lives in its element; unlinking needs no list head.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev,
	    *next; /* a head or a linked node: a ring; an unlinked node: itself or zero */
};

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* 'var' is a 'type *'; the body may not unlink anything, LIST_FOREACH_SAFE's may unlink 'var'. */
#define LIST_FOREACH(head, var, type, member)                                                      \
	for (type *var = CONTAINER_OF((head)->next, type, member); &var->member != (head);         \
	     var = CONTAINER_OF(var->member.next, type, member))

#define LIST_FOREACH_SAFE(head, var, type, member)                                                 \
	for (type *var = CONTAINER_OF((head)->next, type, member),                                 \
		  *var##_next = CONTAINER_OF(var->member.next, type, member);                      \
	     &var->member != (head);                                                               \
	     var = var##_next, var##_next = CONTAINER_OF(var->member.next, type, member))

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

/** True while 'node' is in some list. A zeroed node is not. */
static inline bool
list_linked(const struct list *node)
{
	return node->next != NULL && node->next != node;
}

static inline void
list_push_back(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void
list_push_front(struct list *head, struct list *node)
{
	list_push_back(head->next, node);
}

/** Unlink 'node'; nothing happens if it is not linked. */
static inline void
list_remove(struct list *node)
{
	if (!list_linked(node))
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/** First node, unlinked, or NULL. */
static inline struct list *
list_pop_front(struct list *head)
{
	struct list *node = head->next;

	if (node == head)
		return NULL;
	head->next = node->next;
	node->next->prev = head;
	list_init(node);
	return node;
}

/** All nodes of 'from', in their order, to the end of 'to': 'from' is empty then. */
static inline void
list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

#endif
