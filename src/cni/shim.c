/*
 * The CNI plugin that runtimes execute: it hands the call to the agent and prints the agent's answer.
 *
 * A container pays for its start, so it is static, has no dependency, and decides nothing that the agent can decide.
 *
 *   request   u32 little-endian length of what follows, "CNI_KEY=VALUE\0" for each CNI_ variable, "\0", stdin
 *   answer    u8 exit code, then what goes to stdout, to the end of the stream
 *
 * Our side of the connection stays open until the answer has come, so that the agent can tell when the caller gave up.
 * The socket's path is the string "agentSocket" at the top level of the network configuration. The scanner that finds it
 * knows strings, nesting and nothing else of JSON, and takes no escapes; the agent is the one that parses and validates.
 * VERSION is answered here, for runtimes ask it before the agent may be up. What goes wrong here is a CNI error on stdout:
 * 5 I/O and a caller that is not root, 6 stdin is no JSON object, 7 bad agentSocket, 11 (try again later; 50 for STATUS, which
 * asks just that) when the agent does not answer as it should.
 * The answer is printed only when it is whole, so that an agent that dies half way leaves no half result.
 *
 * DEL is the exception to "try again later", for runtimes do not: where no agent takes it, the request is left as a file in
 * the directory "detach" beside the socket, for the agent that comes (node/detach-queue.ts), and the answer is that all is well.
 *
 * Built by scripts/build-shim. Specification: CNI SPEC 1.1.0; the agent's side of the frames is frame.ts.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/muslin/cni.sock"
#define NEWEST_VERSION "1.1.0"
/* What a configuration without cniVersion is of. */
#define OLDEST_VERSION "0.1.0"
/* The agent's bound on a request (REQUEST_BYTES_MAX in frame.ts), and ours on its answer. */
#define FRAME_BYTES_MAX (1 << 20)
#define NESTING_MAX 64
/* Kubelet gives up on a sandbox after two minutes; we give the agent up before. */
#ifndef TIMEOUT_SECONDS
#define TIMEOUT_SECONDS 90
#endif

extern char **environ;

static char frame[4 + FRAME_BYTES_MAX];
static char answer[FRAME_BYTES_MAX];
static char version[32] = NEWEST_VERSION; /* of the configuration, once that has been read */
static int unreachable_code = 11;          /* of the error that the agent does not answer: try again later */

static void print_escaped(const char *text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < 0x20 || c == 0x7f) printf("\\u%04x", c);
    else putchar(c);
  }
}

/* Prints a CNI error; its value is the exit code. */
static int fail(int code, const char *message, const char *details) {
  printf("{\"cniVersion\":\"");
  print_escaped(version);
  printf("\",\"code\":%d,\"msg\":\"", code);
  print_escaped(message);
  printf("\",\"details\":\"");
  print_escaped(details);
  printf("\"}\n");
  return 1;
}

static size_t skip_space(const char *json, size_t at, size_t end) {
  while (at < end && memchr(" \t\r\n", json[at], 4)) at++;
  return at;
}

/* The place after the string that begins at `at`; 0 when it does not end. */
static size_t skip_string(const char *json, size_t at, size_t end) {
  for (at++; at < end; at++) {
    if (json[at] == '\\') at++;
    else if (json[at] == '"') return at + 1;
  }
  return 0;
}

/*
 * Walks one JSON object, and copies the string under `key` at its top level to `value` (untouched where there is none).
 * 0: done; -1: not one whole object; -2: the value is no string, has an escape, or does not fit.
 */
static int scan(const char *json, size_t end, const char *key, char *value, size_t room) {
  char closers[NESTING_MAX];
  size_t depth = 0, at = skip_space(json, 0, end), key_length = strlen(key);
  int result = 0;
  if (at == end || json[at] != '{') return -1;
  for (;;) {
    char c = json[at];
    if (c == '{' || c == '[') {
      if (depth == NESTING_MAX) return -1;
      closers[depth++] = c == '{' ? '}' : ']';
      at++;
    } else if (c == '}' || c == ']') {
      if (closers[--depth] != c) return -1;
      at++;
      if (depth == 0) return skip_space(json, at, end) == end ? result : -1;
    } else if (c == '"') {
      size_t start = at + 1;
      at = skip_string(json, at, end);
      if (at == 0) return -1;
      size_t colon = skip_space(json, at, end);
      if (depth == 1 && colon < end && json[colon] == ':' && at - 1 - start == key_length &&
          memcmp(json + start, key, key_length) == 0) {
        size_t quote = skip_space(json, colon + 1, end);
        size_t after = quote < end && json[quote] == '"' ? skip_string(json, quote, end) : 0;
        size_t length = after ? after - quote - 2 : 0;
        result = after && length < room && !memchr(json + quote, '\\', length + 1) ? 0 : -2;
        if (result == 0) {
          memcpy(value, json + quote + 1, length);
          value[length] = 0;
        }
      }
    } else at++;
    if (at >= end) return -1;
  }
}

static int write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    bytes += written;
    count -= (size_t)written;
  }
  return 0;
}

/* Reads to the end of the stream: how many bytes, -1 for an error (errno; EMSGSIZE where they are more than `room`). */
static ssize_t read_all(int fd, char *bytes, size_t room) {
  size_t count = 0;
  for (;;) {
    char surplus;
    ssize_t got = count < room ? read(fd, bytes + count, room - count) : read(fd, &surplus, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) return (ssize_t)count;
    if (count == room) return errno = EMSGSIZE, -1;
    count += (size_t)got;
  }
}

/* The end of asking the agent in vain: what to say of it. The details are copied. */
static struct {
  int code;
  const char *message;
  char details[256];
} trouble;

static int unanswered(int code, const char *message, const char *details) {
  trouble.code = code;
  trouble.message = message;
  snprintf(trouble.details, sizeof trouble.details, "%s", details);
  return -1;
}

/* Sends the frame of `length` bytes, and reads the whole answer; how many bytes it has, -1 where there is none. */
static ssize_t ask_agent(const struct sockaddr_un *address, size_t length) {
  const struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return unanswered(5, "cannot make a socket", strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
    char details[sizeof address->sun_path + 128];
    int denied = errno == EACCES || errno == EPERM;
    snprintf(details, sizeof details, "%s: %s", address->sun_path, strerror(errno));
    close(fd);
    if (denied) return unanswered(5, "the muslin agent answers root alone: the container runtime must run as root", details);
    return unanswered(unreachable_code, "the muslin agent cannot be reached; try again later", details);
  }
  if (write_all(fd, frame, length) < 0) {
    unanswered(unreachable_code, "cannot send to the muslin agent; try again later", strerror(errno));
    close(fd);
    return -1;
  }
  ssize_t count = read_all(fd, answer, sizeof answer);
  int error = errno;
  close(fd);
  if (count < 0 && error == EAGAIN) return unanswered(unreachable_code, "the muslin agent does not answer; try again later", "timed out");
  if (count < 0) return unanswered(unreachable_code, "cannot read the muslin agent's answer; try again later", strerror(error));
  if (count == 0) return unanswered(unreachable_code, "the muslin agent gave no answer; try again later", "it may be restarting");
  int silent = count == 1 && answer[0] == 0; /* DEL, CHECK, GC and STATUS say nothing when all is well */
  if (!silent && scan(answer + 1, (size_t)count - 1, "", NULL, 0) == -1)
    return unanswered(unreachable_code, "the muslin agent's answer is not whole; try again later", "is agentSocket the agent's CNI socket?");
  return count;
}

/* Leaves the frame for the agent that comes, beside its socket: 0 when it is there, under its own name, whole; `path` is that name. */
static int leave(const struct sockaddr_un *address, size_t length, char *path, size_t room) {
  char directory[sizeof address->sun_path + 16], unfinished[sizeof directory + 80];
  struct timespec now;
  snprintf(directory, sizeof directory, "%s", address->sun_path);
  *strrchr(directory, '/') = 0;
  if (directory[0] && mkdir(directory, 0700) < 0 && errno != EEXIST) return -1;
  strcat(directory, "/detach");
  if (mkdir(directory, 0700) < 0 && errno != EEXIST) return -1;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(path, room, "%s/%lld%09ld-plugin-%ld.request", directory, (long long)now.tv_sec, now.tv_nsec, (long)getpid());
  snprintf(unfinished, sizeof unfinished, "%s/.%lld%09ld-%ld", directory, (long long)now.tv_sec, now.tv_nsec, (long)getpid());
  int fd = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int written = write_all(fd, frame, length);
  if (close(fd) < 0 || written < 0 || rename(unfinished, path) < 0) {
    unlink(unfinished);
    return -1;
  }
  return 0;
}

/* Whether the call is a DEL with all that one needs: the agent will take no other. */
static int is_whole_del(const char *command) {
  const char *needed[] = {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"};
  for (size_t index = 0; index < sizeof needed / sizeof *needed; index++) {
    const char *value = getenv(needed[index]);
    if (value == NULL || *value == 0) return 0;
  }
  return strcmp(command, "DEL") == 0;
}

/* Has the agent carry the request out and prints its answer; the value is the exit code. */
static int carry_out(const struct sockaddr_un *address, size_t length, const char *command) {
  char path[sizeof address->sun_path + 96];
  ssize_t count = ask_agent(address, length);
  if (count < 0 && trouble.code != 5 && is_whole_del(command) && leave(address, length, path, sizeof path) == 0) {
    /* An agent that has started meanwhile may have looked for files before this one was there. */
    count = ask_agent(address, length);
    if (count < 0) return 0;
    if (answer[0] == 0) unlink(path);
  }
  if (count < 0) return fail(trouble.code, trouble.message, trouble.details);
  return write_all(STDOUT_FILENO, answer + 1, (size_t)count - 1) < 0 ? 1 : (unsigned char)answer[0];
}

int main(void) {
  const char *command = getenv("CNI_COMMAND");
  if (command == NULL) {
    fprintf(stderr, "muslin CNI plugin: container runtimes call it (CNI_COMMAND is not set), and it asks the muslin agent\n"
                    "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n");
    return 0;
  }
  signal(SIGPIPE, SIG_IGN);
  size_t length = 4;
  for (char **variable = environ; *variable; variable++) {
    size_t size = strlen(*variable) + 1;
    if (strncmp(*variable, "CNI_", 4) != 0) continue;
    if (length + size + 1 > sizeof frame) return fail(4, "the CNI_ variables are too long", "at most 1 MiB with stdin");
    memcpy(frame + length, *variable, size);
    length += size;
  }
  frame[length++] = 0;

  const char *input = frame + length;
  ssize_t count = read_all(STDIN_FILENO, frame + length, sizeof frame - length);
  if (count < 0 && errno == EMSGSIZE) return fail(6, "the network configuration is too long", "at most 1 MiB");
  if (count < 0) return fail(5, "cannot read the network configuration from stdin", strerror(errno));
  size_t input_length = (size_t)count;
  int is_version = strcmp(command, "VERSION") == 0;
  int empty = skip_space(input, 0, input_length) == input_length;
  char stated[sizeof version] = OLDEST_VERSION;
  int scanned = is_version && empty ? 0 : scan(input, input_length, "cniVersion", stated, sizeof stated);
  if (scanned == -1) return fail(6, "stdin is not a JSON object", "the network configuration is expected there");
  if (scanned == 0) memcpy(version, stated, sizeof version);
  if (strcmp(command, "STATUS") == 0) unreachable_code = 50;
  if (is_version) {
    printf("{\"cniVersion\":\"" NEWEST_VERSION "\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
    return 0;
  }

  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DEFAULT_SOCKET};
  if (scan(input, input_length, "agentSocket", address.sun_path, sizeof address.sun_path) != 0 || address.sun_path[0] != '/')
    return fail(7, "agentSocket is not the path of a socket", "an absolute path of at most 107 bytes without escapes");

  uint32_t body = (uint32_t)(length - 4 + input_length);
  for (int byte = 0; byte < 4; byte++) frame[byte] = (char)(body >> (8 * byte));
  return carry_out(&address, length + input_length, command);
}
