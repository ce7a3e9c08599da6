/* Put before the C library by LD_PRELOAD, it has locks refused as a file system refuses them that knows none: those of
 * flock with the number in REFUSE_FLOCK, those of POSIX with the number in REFUSE_FCNTL. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

typedef int (*Control)(int, int, ...);

static int is_refused(const char *variable) {
    const char *told = getenv(variable);
    if (!told) return 0;
    errno = atoi(told);
    return 1;
}

static int control(const char *name, int file, int command, void *argument) {
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    if (is_lock && is_refused("REFUSE_FCNTL")) return -1;
    return ((Control)dlsym(RTLD_NEXT, name))(file, command, argument);
}

int flock(int file, int operation) {
    if (is_refused("REFUSE_FLOCK")) return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}

int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl", file, command, argument);
}

int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl64", file, command, argument);
}
