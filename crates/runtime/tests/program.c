/* What the tests' containers run: `PROGRAM VERB [ARG]`, linked statically. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>

static void on_term(int s) { (void)s; _exit(7); }

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "run";
    if (!strcmp(verb, "exit")) return argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(verb, "print")) {
        printf("out 1\nout 2\n"); fflush(stdout);
        fprintf(stderr, "err 1\n");
        return 0;
    }
    if (!strcmp(verb, "env")) { const char *v = getenv(argv[2]); puts(v ? v : ""); return 0; }
    if (!strcmp(verb, "cat")) {
        FILE *f = fopen(argv[2], "r"); int c;
        if (!f) return 1;
        while ((c = fgetc(f)) != EOF) putchar(c);
        return 0;
    }
    if (!strcmp(verb, "ids")) { printf("%d %d\n", (int)getuid(), (int)getgid()); return 0; }
    if (!strcmp(verb, "eat")) {
        for (;;) { char *p = malloc(1 << 20); if (p) memset(p, 1, 1 << 20); }
    }
    if (!strcmp(verb, "sleep")) { sleep(argc > 2 ? (unsigned)atoi(argv[2]) : 3600); return 0; }
    signal(SIGTERM, on_term);
    for (;;) pause();
}
