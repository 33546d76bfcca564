/*
 * The app that the benchmark puts under each init, and the step just before
 * the init. Times are nanoseconds of CLOCK_MONOTONIC, which all processes
 * share. What it has to tell are records of two 64-bit numbers on stdout.
 *
 *   app launch ARGV...      become ARGV, and leave the time in the environment
 *   app launch-lo ARGV...   the same in a new network namespace: loopback first
 *   app run                 tell when it began; at the end of stdin tell the
 *                           time and exit
 *   app signals             tell when it began, then when each SIGUSR1 came
 *   app orphans N           tell when it began; at a byte on stdin make N
 *                           orphans, tell how long it took until all were
 *                           reaped, and whether they were (1) or not (0)
 *
 * It is static, so that no time goes into a dynamic linker, and it begins by
 * looking at the clock.
 */
#define _GNU_SOURCE
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STAMP "BENCH_EXEC"
#define GIVE_UP 5000000000 /* ns; an init that reaps is done in a tenth of it */

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void tell(int64_t a, int64_t b)
{
	int64_t record[2] = { a, b };

	if (write(1, record, sizeof record) != sizeof record)
		_exit(98);
}

static void loopback(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		_exit(97);
	close(fd);
}

static void launch(char **argv)
{
	static char stamp[64];

	if (getpid() != 1)
		_exit(96);
	/* The environment goes through every init unchanged, and it wakes nobody
	 * up, as a write to a pipe would. */
	snprintf(stamp, sizeof stamp, STAMP "=%lld", (long long)now());
	putenv(stamp);
	execv(argv[0], argv);
	_exit(95);
}

static void run(void)
{
	char byte;

	while (read(0, &byte, 1) > 0)
		;
	/* The record stays in the pipe until the init is gone: nobody reads it
	 * while the clock runs. */
	tell(now(), 0);
	_exit(0);
}

static void signals(const sigset_t *usr1)
{
	for (;;)
		if (sigwaitinfo(usr1, NULL) == SIGUSR1)
			tell(now(), 0);
}

static void orphans(long n)
{
	const struct timespec nap = { 0, 100000 };
	int64_t begun, made;
	char byte;
	int gone;

	if (read(0, &byte, 1) != 1)
		_exit(0);
	begun = now();
	while (n-- > 0) {
		pid_t child = fork();

		if (child < 0)
			_exit(94);
		if (child == 0) {
			fork(); /* this one will be the orphan; both end at once */
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	/* Zombies count for kill(-1, 0), which leaves out PID 1 and the caller.
	 * That the last of them is gone is no event that one could wait for. */
	made = now();
	while (!(gone = kill(-1, 0) < 0) && now() - made < GIVE_UP)
		nanosleep(&nap, NULL);
	tell(now() - begun, gone);
	while (read(0, &byte, 1) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	int64_t begun = now();
	const char *stamp = getenv(STAMP);
	sigset_t usr1;

	if (argc > 2 && !strcmp(argv[1], "launch-lo"))
		loopback();
	if (argc > 2 && !strncmp(argv[1], "launch", 6))
		launch(argv + 2);
	if (argc < 2 || !stamp)
		return 99;

	/* Before the first record: the harness sends signals once it has that. */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	tell(atoll(stamp), begun);
	if (!strcmp(argv[1], "run"))
		run();
	if (!strcmp(argv[1], "signals"))
		signals(&usr1);
	if (!strcmp(argv[1], "orphans") && argc > 2)
		orphans(atol(argv[2]));
	return 99;
}
