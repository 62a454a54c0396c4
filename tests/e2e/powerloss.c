/* Runs a command and, when it has died, puts the files of a folder back to what was synced: a power loss.
 *
 *     powerloss FOLDER PID_FILE SEED COMMAND ARGUMENT...
 *
 * The kernel tells this process of every write, sync and truncation of the command before it happens (seccomp user
 * notifications). A write is remembered with the bytes that stood there; a sync of its file makes that forgotten. When
 * the command has gone (killed by whoever read its id from PID_FILE), what is still remembered is put back, youngest
 * first. With an even SEED all of it; with an odd one each 4 KiB page by chance, which is what a disk may also do.
 *
 * Sockets, pipes and files outside FOLDER pass through. Renames and new names are left as they are: only contents are
 * taken back. Exit code: 0; 70 when the kernel does not offer this; 71 when something failed here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
/* A sync takes this long, so that power often fails between a write and its sync. */
#define SYNC_US 2000
#define UNSUPPORTED 70
#define FAILED 71

static void die(const char *what) {
    fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    exit(FAILED);
}

/* A file that was written to, kept open so that a rename does not lose it. */
struct file {
    dev_t device;
    ino_t inode;
    int fd;
};

/* What stood in a file before a write. */
struct undo {
    int file;
    off_t offset;
    off_t length_before; /* of the file */
    size_t held;         /* bytes of it that existed */
    size_t written;
    char *bytes;
};

static struct file *files;
static int files_count;
static struct undo *undos;
static size_t undos_count, undos_room;
static const char *folder;
static uint64_t kept_writes, undone_writes, syncs;

/* The file behind a descriptor of the command, or -1 when it is none of ours. */
static int file_of(pid_t pid, int fd) {
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return -1;
    target[length] = 0;
    size_t prefix = strlen(folder);
    if (strncmp(target, folder, prefix) != 0 || (target[prefix] != '/' && target[prefix] != 0)) return -1;
    struct stat status;
    if (stat(link, &status) != 0 || !S_ISREG(status.st_mode)) return -1;
    for (int i = 0; i < files_count; i++)
        if (files[i].device == status.st_dev && files[i].inode == status.st_ino) return i;
    int own = open(link, O_RDWR | O_CLOEXEC);
    if (own < 0) return -1;
    files = realloc(files, (files_count + 1) * sizeof *files);
    if (!files) die("memory");
    files[files_count] = (struct file){status.st_dev, status.st_ino, own};
    return files_count++;
}

/* Where the next write(2) of a descriptor goes. */
static off_t position_of(pid_t pid, int fd, int file) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", pid, fd);
    FILE *info = fopen(path, "re");
    if (!info) return 0;
    long long position = 0;
    unsigned flags = 0;
    while (fgets(line, sizeof line, info)) {
        sscanf(line, "pos: %lld", &position);
        sscanf(line, "flags: %o", &flags);
    }
    fclose(info);
    struct stat status;
    if ((flags & O_APPEND) && fstat(files[file].fd, &status) == 0) return status.st_size;
    return position;
}

static void remember(int file, off_t offset, size_t length) {
    struct stat status;
    if (length == 0 || fstat(files[file].fd, &status) != 0) return;
    if (undos_count == undos_room) {
        undos_room = undos_room ? undos_room * 2 : 1024;
        undos = realloc(undos, undos_room * sizeof *undos);
        if (!undos) die("memory");
    }
    struct undo *undo = &undos[undos_count];
    *undo = (struct undo){file, offset, status.st_size, 0, length, malloc(length)};
    if (!undo->bytes) die("memory");
    while (undo->held < length) {
        ssize_t got = pread(files[file].fd, undo->bytes + undo->held, length - undo->held, offset + undo->held);
        if (got <= 0) break;
        undo->held += got;
    }
    undos_count++;
}

/* The file is on disk: what stood there before does not come back. */
static void forget(int file) {
    size_t left = 0;
    for (size_t i = 0; i < undos_count; i++) {
        if (undos[i].file == file) {
            free(undos[i].bytes);
            kept_writes++;
        } else {
            undos[left++] = undos[i];
        }
    }
    undos_count = left;
}

/* The bytes that a vector of the command's memory describes. */
static size_t vector_length(pid_t pid, uint64_t address, uint64_t count) {
    struct iovec parts[1024];
    if (count > 1024) return 0;
    struct iovec local = {parts, count * sizeof *parts}, remote = {(void *)(uintptr_t)address, count * sizeof *parts};
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)(count * sizeof *parts)) return 0;
    size_t length = 0;
    for (uint64_t i = 0; i < count; i++) length += parts[i].iov_len;
    return length;
}

/* Notes what is about to happen. Answers 1 when it was done here, with its result in *error. */
static int take_in(int listener, const struct seccomp_notif *request, int *error) {
    const struct seccomp_data *call = &request->data;
    pid_t pid = request->pid;
    int fd = (int)call->args[0], file = file_of(pid, fd);
    if (file < 0) return 0;
    switch (call->nr) {
    case SYS_pwrite64: remember(file, call->args[3], call->args[2]); return 0;
    case SYS_write: remember(file, position_of(pid, fd, file), call->args[2]); return 0;
    case SYS_pwritev:
    case SYS_pwritev2: remember(file, call->args[3], vector_length(pid, call->args[1], call->args[2])); return 0;
    case SYS_writev: remember(file, position_of(pid, fd, file), vector_length(pid, call->args[1], call->args[2])); return 0;
    case SYS_fsync:
    case SYS_fdatasync:
        usleep(SYNC_US);
        /* Power has failed meanwhile: the sync never was. */
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &request->id) != 0) return 1;
        /* Done here, so that it is known to have happened when the command hears of it. */
        *error = fdatasync(files[file].fd) == 0 ? 0 : -errno;
        if (*error == 0) forget(file);
        syncs++;
        return 1;
    }
    return 0;
}

static const int watched[] = {SYS_pwrite64, SYS_write, SYS_pwritev, SYS_pwritev2, SYS_writev, SYS_fsync, SYS_fdatasync};
#define WATCHED (sizeof watched / sizeof *watched)

/* Installs the filter; answers the descriptor that the notifications come from. */
static int listen_to_myself(void) {
    struct sock_filter code[WATCHED + 3];
    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < WATCHED; i++)
        code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, watched[i], WATCHED - i, 0);
    code[WATCHED + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[WATCHED + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {WATCHED + 3, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void send_descriptor(int socket, int fd) {
    char byte = 'x', control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(socket, &message, 0) < 0) _exit(FAILED);
}

static int receive_descriptor(int socket) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, 0) <= 0) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (header) memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static void serve(int listener) {
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) die("seccomp sizes");
    struct seccomp_notif *request = malloc(sizes.seccomp_notif);
    struct seccomp_notif_resp *answer = malloc(sizes.seccomp_notif_resp);
    struct pollfd event = {listener, POLLIN, 0};
    for (;;) {
        if (poll(&event, 1, -1) < 0 && errno != EINTR) die("poll");
        if (event.revents & POLLIN) {
            memset(request, 0, sizes.seccomp_notif);
            /* ENOENT: the caller was killed meanwhile. */
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request) != 0) continue;
            memset(answer, 0, sizes.seccomp_notif_resp);
            answer->id = request->id;
            int error = 0;
            if (take_in(listener, request, &error)) answer->error = error;
            else answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer);
        } else if (event.revents & (POLLHUP | POLLERR)) {
            return;
        }
    }
}

static uint64_t state;

static int chance(void) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 63;
}

static void put_back(uint64_t seed) {
    state = seed;
    for (size_t i = undos_count; i-- > 0;) {
        struct undo *undo = &undos[i];
        int fd = files[undo->file].fd, all = seed % 2 == 0;
        for (size_t at = 0; at < undo->written; at += PAGE) {
            if (!all && chance()) continue;
            size_t length = undo->written - at < PAGE ? undo->written - at : PAGE;
            size_t held = undo->held > at ? undo->held - at : 0;
            if (held > length) held = length;
            if (held && pwrite(fd, undo->bytes + at, held, undo->offset + at) != (ssize_t)held) die("put back");
        }
        struct stat status;
        if (all && fstat(fd, &status) == 0 && status.st_size > undo->length_before && ftruncate(fd, undo->length_before) != 0)
            die("cut back");
        undone_writes++;
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "powerloss FOLDER PID_FILE SEED COMMAND ARGUMENT...\n");
        return FAILED;
    }
    folder = argv[1];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) die("socketpair");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        int listener = listen_to_myself();
        if (listener < 0) _exit(UNSUPPORTED);
        send_descriptor(pair[1], listener);
        close(listener);
        execv(argv[4], argv + 4);
        _exit(FAILED);
    }
    close(pair[1]);
    int listener = receive_descriptor(pair[0]), status;
    if (listener < 0) {
        waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
    }
    FILE *id = fopen(argv[2], "we");
    if (!id) die(argv[2]);
    fprintf(id, "%d\n", child);
    fclose(id);
    serve(listener);
    if (waitpid(child, &status, 0) < 0) die("wait");
    size_t pending = undos_count;
    put_back(strtoull(argv[3], NULL, 10));
    fprintf(stderr, "powerloss: %llu syncs, %llu writes synced, %zu writes not synced and taken back\n",
            (unsigned long long)syncs, (unsigned long long)kept_writes, pending);
    return 0;
}
