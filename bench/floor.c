// The floor: how little an answer can cost, and an upstream that costs next to nothing.
//
//   floor serve DELAY_MS EVERY_429 EVERY_500 EVERY_HANG
//     answers every POST with the same completion of about 1 KB, after a fixed delay; a fault
//     strikes every so-many-th POST, 0 means never. Prints its port, and when its standard input
//     ends, how many POSTs came and the seconds between the first of them and the last answer.
//
//   floor ask PORT IN_FLIGHT LINES
//     sends so many POSTs of about 1 KB over so many kept connections. Prints the same two
//     numbers as seen from here, then the CPU seconds it took.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, BUFFER_BYTES = 16 << 10, FILES_MAX = 1 << 16, BODY_BYTES = 1000 };

typedef struct {
    char *text;
    size_t bytes, wanted;  // wanted: of the whole message, 0 until its head is there
    uint32_t life;         // tells a connection from an earlier one with the same number
} Connection;

typedef struct {
    double due;
    int file;
    uint32_t life;
} Due;

static Connection connections[FILES_MAX];
static char text_of_post[4096], text_of_answer[4096];
static size_t post_bytes, answer_bytes;

static const char LISTED[] =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n"
    "{\"object\":\"list\",\"data\":[{\"id\":\"m1\"}]}";
static const char THROTTLED[] =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 50\r\ncontent-type: application/json\r\n"
    "content-length: 33\r\n\r\n{\"error\":{\"message\":\"slow down\"}}";
static const char FAILED[] =
    "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n"
    "content-length: 28\r\n\r\n{\"error\":{\"message\":\"oops\"}}";

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void canned(void) {
    char words[BODY_BYTES + 1], body[2048];
    for (int i = 0; i < BODY_BYTES; i++) words[i] = "answer "[i % 7];
    words[BODY_BYTES] = 0;
    int bytes = snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m1\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%.780s\"},"
        "\"finish_reason\":\"stop\",\"logprobs\":null}],\"usage\":{\"prompt_tokens\":250,"
        "\"completion_tokens\":200,\"total_tokens\":450}}",
        words);
    answer_bytes = (size_t)snprintf(
        text_of_answer, sizeof text_of_answer,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", bytes,
        body);
    bytes = snprintf(
        body, sizeof body,
        "{\"model\":\"m1\",\"messages\":[{\"role\":\"user\",\"content\":\"%.930s\"}]}", words);
    post_bytes = (size_t)snprintf(
        text_of_post, sizeof text_of_post,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        "content-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
        bytes, body);
}

static void watch(int epoll, int file) {
    int on = 1;
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (file >= FILES_MAX) fail("too many connections");
    Connection *one = &connections[file];
    if (!one->text && !(one->text = malloc(BUFFER_BYTES))) fail("malloc");
    one->bytes = one->wanted = 0;
    one->life++;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = file};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event)) fail("epoll_ctl");
}

// Answers and requests are small and alternate, so the socket always has room for one.
static void say(int file, const char *text, size_t bytes) {
    if (send(file, text, bytes, MSG_NOSIGNAL) != (ssize_t)bytes && errno != EPIPE &&
        errno != ECONNRESET)
        fail("send");
}

static size_t whole_bytes(const Connection *one) {
    char *end = memmem(one->text, one->bytes, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - one->text) + 4;
    for (char *line = one->text; line < end; line = (char *)memchr(line, '\n', one->bytes) + 1)
        if (!strncasecmp(line, "content-length:", 15))
            return head + strtoul(line + 15, NULL, 10);
    return head;
}

// Reads what has come. 1: a whole message stands in the buffer; 0: not yet; -1: the peer is gone.
static int hear(int file) {
    Connection *one = &connections[file];
    ssize_t got = recv(file, one->text + one->bytes, BUFFER_BYTES - one->bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    one->bytes += (size_t)got;
    if (!one->wanted) one->wanted = whole_bytes(one);
    if (one->wanted > BUFFER_BYTES) fail("a message is too large");
    return one->wanted && one->bytes >= one->wanted;
}

static void forget(Connection *one) { one->bytes = one->wanted = 0; }

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(file, (struct sockaddr *)&address, length) || listen(file, 16384)) fail("listen");
    getsockname(file, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return file;
}

static double first_at, last_at;
static long posts;
// All delays are equal, so answers fall due in the order in which requests came: a ring.
static Due dues[FILES_MAX];
static unsigned due_head, due_tail;

static void answer_now(int file) {
    say(file, text_of_answer, answer_bytes);
    last_at = now();
}

static int strikes(long every) { return every && posts % every == 0; }

static void react(int file, double delay, const long *every) {
    Connection *one = &connections[file];
    int get = one->text[0] == 'G';
    forget(one);
    if (get) {
        say(file, LISTED, sizeof LISTED - 1);
        return;
    }
    if (!posts++) first_at = now();
    if (strikes(every[2])) return;
    if (strikes(every[1]))
        say(file, FAILED, sizeof FAILED - 1);
    else if (strikes(every[0]))
        say(file, THROTTLED, sizeof THROTTLED - 1);
    else if (delay > 0)
        dues[due_head++ % FILES_MAX] = (Due){now() + delay, file, one->life};
    else
        answer_now(file);
}

// Answers what is due; returns how many milliseconds the next one needs, -1 if there is none.
static int fall_due(void) {
    for (double at = now(); due_tail != due_head; due_tail++) {
        Due next = dues[due_tail % FILES_MAX];
        if (next.due > at) return (int)((next.due - at) * 1e3) + 1;
        if (connections[next.file].life == next.life) answer_now(next.file);
    }
    return -1;
}

static void serve(double delay, const long *every) {
    int epoll = epoll_create1(0), door = listen_anywhere();
    struct epoll_event events[EVENTS], end = {.events = EPOLLIN, .data.fd = 0};
    struct epoll_event come = {.events = EPOLLIN, .data.fd = door};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, door, &come)) fail("epoll_ctl");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &end)) fail("epoll_ctl: standard input is no pipe");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, fall_due());
        for (int i = 0; i < count; i++) {
            int file = events[i].data.fd, heard;
            if (file == 0) {
                printf("%ld %.6f\n", posts, last_at - first_at);
                return;
            }
            if (file == door) {
                while ((file = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(epoll, file);
            } else if ((heard = hear(file)) > 0) {
                react(file, delay, every);
            } else if (heard < 0) {
                connections[file].life++;
                close(file);
            }
        }
    }
}

static int dial(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int file = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(file, (struct sockaddr *)&address, sizeof address)) fail("connect");
    return file;
}

static void ask(const char *port, long in_flight, long lines) {
    int epoll = epoll_create1(0);
    struct epoll_event events[EVENTS];
    long sent = 0, done = 0;
    double began = now();
    for (; sent < in_flight && sent < lines; sent++) {
        int file = dial(port);
        watch(epoll, file);
        say(file, text_of_post, post_bytes);
    }
    while (done < lines) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int file = events[i].data.fd, heard = hear(file);
            if (heard < 0) fail("the upstream hung up");
            if (!heard) continue;
            forget(&connections[file]);
            done++;
            if (sent < lines) {
                sent++;
                say(file, text_of_post, post_bytes);
            }
        }
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%ld %.6f %.6f\n", done, now() - began, cpu);
}

int main(int count, char **words) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    canned();
    if (count == 6 && !strcmp(words[1], "serve")) {
        long every[3] = {atol(words[3]), atol(words[4]), atol(words[5])};
        serve(atof(words[2]) / 1e3, every);
    } else if (count == 5 && !strcmp(words[1], "ask")) {
        ask(words[2], atol(words[3]), atol(words[4]));
    } else {
        fputs("usage: floor serve DELAY_MS EVERY_429 EVERY_500 EVERY_HANG\n", stderr);
        fputs("       floor ask PORT IN_FLIGHT LINES\n", stderr);
        return 2;
    }
    return 0;
}
