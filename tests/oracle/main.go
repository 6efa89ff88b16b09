// Oracle judges histories of the key-value store by porcupine, a checker of linearizability that shares nothing with
// outvote: not its language, its model or its authors.
//
//	oracle FILE...      one JSON object a line, an operation each:
//	  {"client": 65536, "call": 12, "return": 40, "operation": "put", "arguments": ["k", "v"], "result": 3}
//
// Times are nanoseconds; "return" is null where the outcome is not known, and then "result" means nothing. For each
// file it prints a line: the verdict (Ok, Illegal, or Unknown where ten seconds did not do), the number of operations,
// the file. Each key is judged by itself. It exits with 1 if one is not linearizable.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

const patience = 10 * time.Second

type line struct {
	Client    int               `json:"client"`
	Call      int64             `json:"call"`
	Return    *int64            `json:"return"`
	Operation string            `json:"operation"`
	Arguments []json.RawMessage `json:"arguments"`
	Result    json.RawMessage   `json:"result"`
}

type input struct {
	name, key, value string
	expected         int
	heard            bool // whether its client learned the outcome
}

// What is known of one key. Versions come from a counter of the whole store, so a key sees gaps; the version of a write
// whose outcome nobody heard is learned when somebody reads it.
type state struct {
	exists  bool
	value   string
	known   bool // whether the version is
	version int  // of the value if known; of it nothing but that it is higher otherwise
}

func (before state) written(value string, version int, known bool) state {
	return state{true, value, known, version}
}

// Every state that may follow, if the operation answers this; answer is nil where nobody heard it.
func (before state) after(in input, answer any) []any {
	one := func(fits bool, next state) []any {
		if fits {
			return []any{next}
		}
		return nil
	}
	switch in.name {
	case "get":
		seen, heard := answer.([]any)
		switch {
		case answer == nil && in.heard:
			return one(!before.exists, before)
		case !heard:
			return one(true, before)
		case !before.exists || seen[0].(string) != before.value:
			return nil
		case before.known:
			return one(int(seen[1].(float64)) == before.version, before)
		}
		version := int(seen[1].(float64))
		return one(version > before.version, before.written(before.value, version, true))
	case "delete":
		return one(!in.heard || answer.(bool) == before.exists, state{false, "", true, before.version})
	case "put":
		return before.put(in, answer)
	}
	return before.compareAndSet(in, answer)
}

func (before state) put(in input, answer any) []any {
	if !in.heard {
		return []any{before.written(in.value, before.version, false)}
	}
	version := int(answer.(float64))
	if version <= before.version {
		return nil
	}
	return []any{before.written(in.value, version, true)}
}

func (before state) compareAndSet(in input, answer any) []any {
	may := in.expected == 0
	must := may
	if before.exists {
		may = in.expected == before.version
		if !before.known {
			may = in.expected > before.version
		}
		must = may && before.known
	}
	var next []any
	if may && !(in.heard && answer == nil) {
		matched := before
		matched.version = max(before.version, in.expected)
		next = append(next, matched.put(in, answer)...)
	}
	if !must && answer == nil {
		next = append(next, before)
	}
	return next
}

var model = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, one := range history {
			key := one.Input.(input).key
			parts[key] = append(parts[key], one)
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	},
	Init:  func() []any { return []any{state{known: true}} },
	Step:  func(before, given, answer any) []any { return before.(state).after(given.(input), answer) },
	Equal: func(one, other any) bool { return one == other },
}

func read(path string) ([]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var history []porcupine.Operation
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		var one line
		if err := json.Unmarshal(scanner.Bytes(), &one); err != nil {
			return nil, err
		}
		given, err := one.input()
		if err != nil {
			return nil, err
		}
		operation := porcupine.Operation{ClientId: one.Client, Input: given, Call: one.Call, Return: math.MaxInt64}
		if one.Return != nil {
			operation.Return = *one.Return
			given.heard = true
			operation.Input = given
			if err := json.Unmarshal(one.Result, &operation.Output); err != nil {
				return nil, err
			}
		}
		history = append(history, operation)
	}
	return history, scanner.Err()
}

func (one line) input() (input, error) {
	given := input{name: one.Operation}
	places := map[string][]any{
		"get": {&given.key}, "delete": {&given.key}, "put": {&given.key, &given.value},
		"cas": {&given.key, &given.value, &given.expected},
	}[one.Operation]
	if len(places) == 0 || len(places) != len(one.Arguments) {
		return given, fmt.Errorf("%s with %d arguments is no operation of the store", one.Operation, len(one.Arguments))
	}
	for index, place := range places {
		if err := json.Unmarshal(one.Arguments[index], place); err != nil {
			return given, err
		}
	}
	return given, nil
}

func main() {
	status := 0
	for _, path := range os.Args[1:] {
		history, err := read(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(2)
		}
		verdict := porcupine.CheckOperationsTimeout(model.ToModel(), history, patience)
		if verdict == porcupine.Illegal {
			status = 1
		}
		fmt.Printf("%s %d %s\n", verdict, len(history), path)
	}
	os.Exit(status)
}
