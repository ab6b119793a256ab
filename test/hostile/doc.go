// Package hostile attacks a real daemon as an image, a registry, a pod or a client could, and
// expects the attack to get nowhere: the host is unchanged, other pods go on, and the attacker
// gets a clear error. Each file is one kind of attacker.
package hostile
