// Threads that share the parts of one call.
//
// They belong to no Python interpreter, so that calls work while one shuts down; and a forked
// process, which has none of its parent's threads, starts its own.
#pragma once

#include <pthread.h>

#include "api.h"

// What a call does to one of its parts.
struct Work {
    bool (*run)(const void* arguments, i64 begin, i64 end);
    const void* arguments;
    i64 rows, parts;
};

namespace threads {

static pthread_mutex_t calls = PTHREAD_MUTEX_INITIALIZER;  // held by the call that has the threads
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;  // of what follows
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER, ended = PTHREAD_COND_INITIALIZER;
static const Work* work;   // what is to do; null: nothing
static i64 next, running;  // the next part; how many are being done
static i64 workers;        // threads there are
static bool failed;

// Does parts until there are none. The mutex is held before and after.
static void do_parts(const Work* mine) {
    while (work == mine && next < mine->parts) {
        const i64 part = next++;
        running++;
        pthread_mutex_unlock(&mutex);
        const i64 begin = mine->rows * part / mine->parts, end = mine->rows * (part + 1) / mine->parts;
        const bool done = mine->run(mine->arguments, begin, end);
        pthread_mutex_lock(&mutex);
        running--;
        failed |= !done;
    }
}

static void* worker(void*) {
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (!work || next >= work->parts) pthread_cond_wait(&begun, &mutex);
        do_parts(work);
        if (!running) pthread_cond_signal(&ended);
    }
}

// In a forked process: the threads are gone, and one of them may have held a lock.
static void forget() {
    calls = mutex = PTHREAD_MUTEX_INITIALIZER;
    begun = ended = PTHREAD_COND_INITIALIZER;
    work = nullptr, next = running = workers = 0, failed = false;
}

__attribute__((constructor)) static void at_load() { pthread_atfork(nullptr, nullptr, forget); }

// Starts threads until there are `wanted`; fewer where the system refuses.
static void start(i64 wanted) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    while (workers < wanted && !pthread_create(&thread, &attributes, worker, nullptr)) workers++;
    pthread_attr_destroy(&attributes);
}

// All rows, in `parts` threads, this one among them. While another call has the threads, in this
// one alone. Whether there was memory for it.
static bool share(const Work& mine) {
    if (mine.parts <= 1 || pthread_mutex_trylock(&calls)) return mine.run(mine.arguments, 0, mine.rows);
    pthread_mutex_lock(&mutex);
    start(mine.parts - 1);
    work = &mine, next = 0, failed = false;
    pthread_cond_broadcast(&begun);
    do_parts(&mine);
    while (running) pthread_cond_wait(&ended, &mutex);
    work = nullptr;
    const bool done = !failed;
    pthread_mutex_unlock(&mutex);
    pthread_mutex_unlock(&calls);
    return done;
}

}  // namespace threads
