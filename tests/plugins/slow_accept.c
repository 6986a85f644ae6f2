/* Accepts as the system does and then takes its time, as a busy machine does; put before the C library by LD_PRELOAD. */

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int accept(int listener, struct sockaddr *address, socklen_t *length)
{
	int connection = (int) syscall(SYS_accept4, listener, address, length, 0);
	if (connection >= 0) {
		usleep(5000);
	}
	return connection;
}
