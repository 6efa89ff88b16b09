// Closed loop of puts against etcd: prints operations per second and the median latency as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	endpoints := flag.String("endpoints", "", "host:port,host:port,...")
	outstanding := flag.Int("outstanding", 1, "puts under way at once")
	connections := flag.Int("connections", 1, "connections, each to one endpoint in turn")
	seconds := flag.Float64("seconds", 3, "length")
	size := flag.Int("value-bytes", 100, "size of a value")
	keys := flag.Int("keys", 10000, "different keys")
	flag.Parse()

	all := strings.Split(*endpoints, ",")
	clients := make([]*clientv3.Client, *connections)
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{all[i%len(all)]}, DialTimeout: 20 * time.Second})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer client.Close()
		clients[i] = client
	}
	value := strings.Repeat("v", *size)
	put := func(client *clientv3.Client) {
		if _, err := client.Put(context.Background(), fmt.Sprintf("key%d", rand.Intn(*keys)), value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for i := 0; i < 50; i++ {
		put(clients[i%len(clients)])
	}
	var mutex sync.Mutex
	var group sync.WaitGroup
	latencies := []float64{}
	began := time.Now()
	stop := began.Add(time.Duration(*seconds * float64(time.Second)))
	for i := 0; i < *outstanding; i++ {
		group.Add(1)
		go func(client *clientv3.Client) {
			defer group.Done()
			mine := []float64{}
			for time.Now().Before(stop) {
				at := time.Now()
				put(client)
				mine = append(mine, float64(time.Since(at).Microseconds())/1000)
			}
			mutex.Lock()
			latencies = append(latencies, mine...)
			mutex.Unlock()
		}(clients[i%len(clients)])
	}
	group.Wait()
	took := time.Since(began).Seconds()
	sort.Float64s(latencies)
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"ops_per_s": float64(len(latencies)) / took,
		"p50_ms":    latencies[len(latencies)/2],
	})
}
