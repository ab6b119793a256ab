// Package gate bounds the connections of an HTTP server that others can reach, so that idle ones
// cannot take the descriptors that the rest of the daemon needs.
//
// A connection waits until the head of a request has come, and again between requests. When too
// many wait, the one that has waited longest is closed: a client that asks at once is served
// however many others hold connections open. A connection whose request is being served, or that
// was taken over for a streaming session, is never closed here.
package gate
