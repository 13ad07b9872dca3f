// Package mongocheck says what a MongoDB cluster must be for this product, and judges whether one is: facts in, findings out.
//
// Every requirement has at least one finding, a line with a level: Fail is a requirement known to be broken, Warn one that cannot be
// seen from where the facts come or that is a weakness, OK the rest. What was not learnt is never taken for broken. The package asks
// nobody: pkg/mongo gathers the facts, from a workstation or from inside a zone. What the requirements follow from is in docs/mongodb.md.
package mongocheck
