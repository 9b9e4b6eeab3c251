// Works through a queue: here, it only says so and ends after a few turns.
package main

import (
	"flag"
	"log"
	"time"
)

func main() {
	turns := flag.Int("turns", 3, "how many turns to make")
	flag.Parse()
	for i := range *turns {
		log.Printf("turn %d of %d", i+1, *turns)
		time.Sleep(200 * time.Millisecond)
	}
}
