/*
 * The app that the benchmark runs under each init. It also executes the init.
 * Times are in nanoseconds of CLOCK_MONOTONIC. The app writes records of two
 * 64-bit numbers to stdout. The first record has the times of the execve of the
 * init and of the start of main.
 *
 *   app launch ARGV...      store the time in the environment and execute ARGV
 *   app launch-lo ARGV...   the same, after setting the loopback interface up
 *   app run                 write the first record; at the end of stdin write
 *                           the time and exit
 *   app signals             write the first record, then a record with the time
 *                           of each SIGUSR1
 *   app orphans N           write the first record; after a byte on stdin create
 *                           N orphans, then write a record: the time until all
 *                           are reaped, and 1, or 0 if some are left
 *
 * It is linked statically, because a dynamic linker would take time, and main
 * reads the clock first.
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
#define GIVE_UP 5000000000 /* ns; an init that reaps needs a tenth of it */

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void put_record(int64_t a, int64_t b)
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
	/* Every init passes the environment on to the app. A write to a pipe
	 * would wake up the benchmark, and so disturb the measurement. */
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
	/* The benchmark reads this record only after the init has exited, so that
	 * the read does not disturb the measurement. */
	put_record(now(), 0);
	_exit(0);
}

static void signals(const sigset_t *usr1)
{
	for (;;)
		if (sigwaitinfo(usr1, NULL) == SIGUSR1)
			put_record(now(), 0);
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
			fork(); /* the grandchild becomes the orphan; both exit at once */
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	/* kill(-1, 0) succeeds as long as there is a process, or a zombie, besides
	 * PID 1 and the caller. No event reports that the last zombie was reaped. */
	made = now();
	while (!(gone = kill(-1, 0) < 0) && now() - made < GIVE_UP)
		nanosleep(&nap, NULL);
	put_record(now() - begun, gone);
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

	/* Block SIGUSR1 before the first record is written, because the benchmark
	 * sends signals once it has read that record. */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	put_record(atoll(stamp), begun);
	if (!strcmp(argv[1], "run"))
		run();
	if (!strcmp(argv[1], "signals"))
		signals(&usr1);
	if (!strcmp(argv[1], "orphans") && argc > 2)
		orphans(atol(argv[2]));
	return 99;
}
