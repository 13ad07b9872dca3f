// Package mongotest is a stand-in for a sharded MongoDB cluster, for tests and
// for the sandbox, where no server can be installed.
//
// It listens with real TLS, asks for client certificates, speaks OP_MSG (and
// OP_QUERY for a driver's first isMaster), logs clients in by MONGODB-X509 as
// the subject of the certificate they really presented, enforces users, roles
// and privileges, and applies every command atomically. Replies, error codes
// and the texts clients match on follow MongoDB 4.0.19 as observed (table
// "Observed on a real server" of the project's design); dialects 4.2 and 4.4
// differ where those servers do.
//
// Invariant: what it does not implement it refuses with an error that names
// the stand-in, never with a wrong answer, and buildInfo carries
// standin: true, so nobody takes it for a database.
//
// It does not implement: multi-document transactions, aggregation beyond
// $match/$sort/$skip/$limit/$group/$count/$project, pipeline updates, change
// streams, SCRAM-SHA-1, regular expressions, collation, real sharding (the shards
// are names; the documents are in one store) or durability beyond a snapshot
// file.
//
// Protocol: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
// and https://bsonspec.org/spec.html.
package mongotest
