// Package config is the configuration of Berth: a typed value with defaults,
// read strictly from TOML.
//
// The sources, later ones winning:
//
//  1. Default(),
//  2. the file (/etc/berth/config.toml, or the one named with --config),
//  3. its drop-ins, <file>.d/*.toml in lexical order,
//  4. command line flags.
//
// A key that nobody knows, a value of the wrong type and a value that cannot
// work are all fatal: a runtime that ignores what its operator wrote is worse
// than one that refuses to start. Every such error names file, line and key.
//
// Defaults that depend on other keys (the CRI socket, which lies in the state
// directory, for one) are empty in Default() and filled in by Load, once the
// keys they follow are known.
//
// The doc comments of the types in types_*.go are the user's documentation too:
// `berthd config default` and docs/configuration.md are generated from them.
package config
