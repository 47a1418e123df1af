/* What the tests' containers run: `PROGRAM VERB [ARG]`, linked statically. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <dirent.h>
#include <termios.h>
#include <sys/ioctl.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void on_term(int s) { (void)s; _exit(7); }

/* One connection: `echo` gives back what comes as it comes, `after` all of it once the other end has said all,
   `first` says all, closes its way and then counts what comes, `rude` answers at once and closes with the rest unread. */
static void answer(int c, const char *how) {
    static char b[1 << 16];
    ssize_t n;
    if (!strcmp(how, "rude")) {
        if (read(c, b, 1) == 1 && write(c, "enough", 6) < 0) _exit(1);
        _exit(0);
    }
    if (!strcmp(how, "first")) {
        long long count = 0;
        if (write(c, "all I have", 10) < 0) _exit(1);
        shutdown(c, SHUT_WR);
        while ((n = read(c, b, sizeof b)) > 0) count += n;
        printf("heard %lld\n", count); fflush(stdout);
        _exit(0);
    }
    if (!strcmp(how, "after")) {
        size_t size = 0, room = 0; char *all = 0;
        while ((n = read(c, b, sizeof b)) > 0) {
            if (size + (size_t)n > room && !(all = realloc(all, room = 2 * (size + (size_t)n)))) _exit(1);
            memcpy(all + size, b, (size_t)n); size += (size_t)n;
        }
        for (size_t at = 0; at < size; at += (size_t)n)
            if ((n = write(c, all + at, size - at)) < 0) _exit(1);
        _exit(0);
    }
    while ((n = read(c, b, sizeof b)) > 0)
        for (ssize_t at = 0, w; at < n; at += w)
            if ((w = write(c, b + at, (size_t)(n - at))) < 0) _exit(1);
    _exit(0);
}

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
    if (!strcmp(verb, "echo") || !strcmp(verb, "late")) { /* late: begins to read after so many seconds */
        static char b[1 << 16]; ssize_t n;
        if (argc > 2) sleep((unsigned)atoi(argv[2]));
        while ((n = read(0, b, sizeof b)) > 0)
            for (ssize_t at = 0, w; at < n; at += w)
                if ((w = write(1, b + at, (size_t)(n - at))) < 0) return 1;
        return n < 0;
    }
    if (!strcmp(verb, "bytes")) return write(1, "\1\0\0\0\177\377\377\377x", 9) != 9;
    if (!strcmp(verb, "long")) {                        /* a line that does not end */
        for (int i = 0; i < 40000; i++) putchar('x');
        fflush(stdout);
        for (;;) pause();
    }
    if (!strcmp(verb, "flood")) {                       /* so many MiB, as fast as they are taken */
        static char b[1 << 20];
        for (int i = atoi(argv[2]); i > 0; i--)
            for (ssize_t at = 0, w; at < (ssize_t)sizeof b; at += w)
                if ((w = write(1, b + at, sizeof b - (size_t)at)) < 0) return 1;
        return 0;
    }
    if (!strcmp(verb, "written")) {                     /* bytes that `flood` has written so far */
        DIR *d = opendir("/proc"); struct dirent *e;
        while (d && (e = readdir(d))) {
            char f[300], line[512]; FILE *s; size_t n; unsigned long long count;
            snprintf(f, sizeof f, "/proc/%d/cmdline", atoi(e->d_name));
            if (!(s = fopen(f, "r"))) continue;
            n = fread(line, 1, sizeof line - 1, s); line[n] = 0; fclose(s);
            if (strcmp(line + strlen(line) + 1, "flood")) continue;
            snprintf(f, sizeof f, "/proc/%d/io", atoi(e->d_name));
            if (!(s = fopen(f, "r"))) continue;
            while (fgets(line, sizeof line, s)) if (sscanf(line, "wchar: %llu", &count) == 1) printf("%llu\n", count);
            fclose(s);
            return 0;
        }
        return 1;
    }
    if (!strcmp(verb, "tick")) {                        /* counts, 20 times a second */
        for (int i = 1; ; i++) { printf("tick %d\n", i); fflush(stdout); usleep(50000); }
    }
    if (!strcmp(verb, "size")) {                        /* prints the terminal's size when it changes */
        struct winsize w; int last = -1;
        for (;;) {
            if (ioctl(0, TIOCGWINSZ, &w)) return 1;
            if (w.ws_col != last) { last = w.ws_col; printf("%dx%d\n", w.ws_col, w.ws_row); fflush(stdout); }
            usleep(20000);
        }
    }
    if (!strcmp(verb, "fork") || !strcmp(verb, "stubborn")) {
        if (!strcmp(verb, "stubborn")) { signal(SIGTERM, SIG_IGN); signal(SIGHUP, SIG_IGN); }
        if (fork() == 0) for (;;) pause();
        printf("ready\n"); fflush(stdout);
        for (;;) pause();
    }
    if (!strcmp(verb, "count")) {                       /* processes in the container but this one */
        DIR *d = opendir("/proc"); struct dirent *e; int n = 0;
        if (!d) return 1;
        while ((e = readdir(d))) {                      /* and but those that wait to be reaped */
            char f[300], state = 'Z'; FILE *s; int p = atoi(e->d_name);
            if (p <= 0 || p == getpid()) continue;
            snprintf(f, sizeof f, "/proc/%d/stat", p);
            if (!(s = fopen(f, "r"))) continue;
            if (fscanf(s, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z') n++;
            fclose(s);
        }
        printf("%d\n", n);
        return 0;
    }
    if (!strcmp(verb, "tcp")) {                         /* PORT HOW ...: see `answer`; on the loopback alone */
        for (int i = 2; i + 1 < argc; i += 2) {
            struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[i])) };
            int s = socket(AF_INET, SOCK_STREAM, 0), one = 1, c;
            a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
            if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 64)) return 1;
            if (fork()) { close(s); continue; }
            signal(SIGCHLD, SIG_IGN);
            for (;;) if ((c = accept(s, 0, 0)) >= 0) {
                if (!fork()) { close(s); answer(c, argv[i + 1]); }
                close(c);
            }
        }
        signal(SIGTERM, on_term);
        for (;;) pause();
    }
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
