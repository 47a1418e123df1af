/* What the tests' containers run: `PROGRAM VERB [ARG]`, linked statically. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

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
    if (!strcmp(verb, "serve")) {                       /* answers 200 to everything on PORT */
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2])) };
        int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 16)) return 1;
        for (;;) {
            char b[2048];
            const char *r = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            int c = accept(s, 0, 0);
            if (c < 0) continue;
            if (read(c, b, sizeof b) > 0 && write(c, r, strlen(r)) < 0) { }
            close(c);
        }
    }
    if (!strcmp(verb, "fail")) {                        /* says why, in both places */
        FILE *f = fopen("/dev/termination-log", "w");
        if (f) { fputs("told at the end", f); fclose(f); }
        printf("last words\n"); fflush(stdout);
        return 3;
    }
    for (;;) pause();
}
