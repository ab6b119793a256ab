package main

import (
	"flag"
	"fmt"
)

// eatMemory takes memory page by page, a megabyte at a time, and keeps it. Without
// a size it goes on until it is killed.
func eatMemory(args []string) error {
	flags := flag.NewFlagSet("memhog", flag.ExitOnError)
	size := flags.Int("mb", 0, "megabytes to take; 0 for all there are")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var kept [][]byte
	for *size == 0 || len(kept) < *size {
		chunk := make([]byte, 1<<20)
		for i := 0; i < len(chunk); i += 4096 {
			chunk[i] = 1
		}
		kept = append(kept, chunk)
	}
	fmt.Printf("memhog: holding %d MB\n", len(kept))
	<-ended()
	fmt.Printf("memhog: letting go of %d MB\n", len(kept)) // keeps kept alive
	return nil
}
