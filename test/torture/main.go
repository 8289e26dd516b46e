// Command torture kills the server at random moments, while clients write and delete through
// the public API, rules write what devices publish, and the server's clock jumps so that flushes, merges, moves between
// the tiers and retention run all the time. After each restart every acknowledged record must be there with
// its value, and every deleted one must be gone.
//
//	go run ./test/torture -rounds 1000 -bin ./weir
//	go run ./test/torture -soak 1h -bin ./weir
//	go run ./test/torture -stall 2m -writers 2 -bin ./weir
//
// One data folder lives through all rounds, with a small memory limit. The seed is printed; -seed
// repeats the moments as far as the machine's timing allows.
//
// With -soak nothing is killed: the server lives under the same load in fast time, and
// memory, goroutines, open files and disk must not grow once it has settled.
//
// With -stall two servers are written to in turn, and the clock of one moves: flushes, merges, moves and retention must not add more
// than 10 ms to the median of its writes and 100 ms to their 99.9th percentile. The difference, because the rest is the machine's.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

func main() {
	bin := flag.String("bin", "./weir", "server `binary`")
	rounds := flag.Int("rounds", 200, "kills")
	writers := flag.Int("writers", 4, "concurrent writers")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random moments")
	soak := flag.Duration("soak", 0, "instead of killing, let the server live for so long and watch what it takes")
	stall := flag.Duration("stall", 0, "instead of killing, compare for so long how long writes take with and without work in the background")
	flag.Parse()
	fmt.Println("seed", *seed)
	work := func() error { return torture(*bin, *rounds, *writers, *seed) }
	if *soak > 0 {
		work = func() error { return soakFor(*bin, *soak, *writers) }
	}
	if *stall > 0 {
		work = func() error { return stallFor(*bin, *stall, *writers) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// everyRounds is how often all records are verified, and not only the recent ones.
const everyRounds = 20

func torture(bin string, rounds, writers int, seed uint64) error {
	dir, err := os.MkdirTemp("", "weir-torture")
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	l := newLoad(writers)
	began := time.Now()
	for round := range rounds + 1 {
		s, err := start(bin, dir)
		if err == nil {
			if round == 0 {
				err = s.create()
			} else {
				err = l.verify(s, round%everyRounds == 0 || round == rounds)
			}
			if err == nil && round < rounds {
				oneRound(s, l, random)
			}
			s.kill()
		}
		if err != nil {
			return fmt.Errorf("round %d: %w (data in %s)", round, err, dir)
		}
		if round > 0 && (round%everyRounds == 0 || round == rounds) {
			fmt.Printf("%d kills, %s, %v\n", round, l, time.Since(began).Round(time.Second))
		}
	}
	return os.RemoveAll(dir)
}

// oneRound loads the server until it is killed.
func oneRound(s *server, l *load, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range l.writers {
		wg.Go(func() { l.write(ctx, s, w) })
	}
	wg.Go(func() { l.publish(ctx, s) })
	wg.Go(func() { l.delete(ctx, s) })
	jumps := rand.New(rand.NewPCG(random.Uint64(), 0))
	wg.Go(func() { l.jump(ctx, s, jumps) })
	time.Sleep(time.Duration(20+random.IntN(400)) * time.Millisecond)
	if random.IntN(8) == 0 {
		s.terminate() // and killed while it writes everything out
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	}
	s.kill()
	cancel()
	wg.Wait()
}
