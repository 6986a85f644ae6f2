// Package measure is what the Go peers share: the work, the timing and the line that is printed.
package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Text is what every peer is asked to revert.
const Text = "Live on time, emit no evil"

// Revert is the work: the text, character by character, the other way round.
func Revert(text string) string {
	runes := []rune(text)
	slices.Reverse(runes)
	return string(runes)
}

// Call is one request and its reply.
type Call func(text string) (string, error)

// Print does what the last three arguments ask for with one caller: `one WARM COUNTED` or `many CALLERS EACH`.
func Print(call Call) {
	PrintEach(func() Call { return call })
}

// PrintEach is Print for peers in which every caller needs something of its own.
func PrintEach(caller func() Call) {
	arguments := os.Args[len(os.Args)-3:]
	first, second := number(arguments[1]), number(arguments[2])
	switch arguments[0] {
	case "one":
		one(caller(), first, second)
	case "many":
		many(caller, first, second)
	default:
		panic("one or many, not " + arguments[0])
	}
}

// Workers is how many calls a plugin should be able to have under way.
func Workers() int {
	if os.Args[len(os.Args)-3] == "many" {
		return number(os.Args[len(os.Args)-2])
	}
	return 1
}

// Start runs this program again with those arguments and waits for its first line. Kill it when done.
func Start(arguments ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], arguments...)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	Must(err)
	Must(command.Start())
	_, err = bufio.NewReader(output).ReadString('\n')
	Must(err)
	return command
}

// Ready is what Start waits for.
func Ready() { io.WriteString(os.Stdout, "ready\n") }

// Must stops where a benchmark cannot go on.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

func one(call Call, warm, counted int) {
	var line strings.Builder
	line.WriteString("ns")
	for nth := range warm + counted {
		start := time.Now()
		checked(call)
		took := time.Since(start)
		if nth >= warm {
			fmt.Fprintf(&line, " %d", took.Nanoseconds())
		}
	}
	fmt.Println(line.String())
}

func many(caller func() Call, callers, each int) {
	calls := make([]Call, callers)
	for nth := range calls {
		calls[nth] = caller()
	}
	together(calls, each/10)
	took := together(calls, each)
	fmt.Printf("rate %.0f\n", float64(callers*each)/took.Seconds())
}

func together(calls []Call, each int) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for _, call := range calls {
		all.Go(func() {
			for range each {
				checked(call)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

func checked(call Call) {
	reply, err := call(Text)
	Must(err)
	if len(reply) != len(Text) {
		panic("not reverted: " + reply)
	}
}

func number(text string) int {
	number, err := strconv.Atoi(text)
	Must(err)
	return number
}
