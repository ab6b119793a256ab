// Package hostsocket tells whether a process of the host holds a port, so that no pod is given the port instead: a
// published port takes the packets away from whoever waits for them.
package hostsocket
