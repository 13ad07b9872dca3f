package mongotest

import (
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
)

// Error codes of the server that the stand-in answers with; the names are the
// server's own (src/mongo/base/error_codes) and go into codeName.
const (
	codeInternalError             = 1
	codeBadValue                  = 2
	codeNoSuchKey                 = 4
	codeUserNotFound              = 11
	codeUnauthorized              = 13
	codeTypeMismatch              = 14
	codeInvalidLength             = 16
	codeAuthenticationFailed      = 18
	codeIllegalOperation          = 20
	codeAlreadyInitialized        = 23
	codeNamespaceNotFound         = 26
	codeIndexNotFound             = 27
	codePathNotViable             = 28
	codeRoleNotFound              = 31
	codeFailedToParse             = 9
	codeConflictingUpdate         = 40
	codeCursorNotFound            = 43
	codeNamespaceExists           = 48
	codeMaxTimeMSExpired          = 50
	codeDollarPrefixedFieldName   = 52
	codeInvalidIDField            = 53
	codeCommandNotFound           = 59
	codeShardKeyNotFound          = 61
	codeWriteConcernFailed        = 64
	codeImmutableField            = 66
	codeShardNotFound             = 70
	codeInvalidOptions            = 72
	codeInvalidNamespace          = 73
	codeUnknownReplWriteConcern   = 79
	codeUnsatisfiableWriteConcern = 100
	codeFailedToSatisfyReadPref   = 133
	codeZoneStillInUse            = 163
	codeZoneNotFound              = 177
	codeRangeOverlapConflict      = 178
	codeTransactionTooOld         = 225
	codeNotImplemented            = 238
	codeInvalidPipelineOperator   = 168
	codeNotMaster                 = 10107
	codeDuplicateKey              = 11000
	codeNotMasterNoSlaveOk        = 13435
	codeInterrupted               = 11601
	codeInvalidUUID               = 207
	codeInterruptedAtShutdown     = 11600
	codeUnknownField              = 40415
	codeMissingField              = 40414
	codeUserAlreadyExists         = 51003
	codeRoleAlreadyExists         = 51002
	codeBSONObjectTooLarge        = 10334
	codeNotSingleValueField       = 10003
)

// codeNames is the server's name of every code above that has one.
var codeNames = map[int32]string{
	codeInternalError: "InternalError", codeBadValue: "BadValue", codeNoSuchKey: "NoSuchKey",
	codeUserNotFound: "UserNotFound", codeUnauthorized: "Unauthorized", codeTypeMismatch: "TypeMismatch",
	codeInvalidLength: "InvalidLength", codeAuthenticationFailed: "AuthenticationFailed",
	codeIllegalOperation: "IllegalOperation", codeAlreadyInitialized: "AlreadyInitialized",
	codeNamespaceNotFound: "NamespaceNotFound", codeIndexNotFound: "IndexNotFound",
	codePathNotViable: "PathNotViable", codeRoleNotFound: "RoleNotFound", codeFailedToParse: "FailedToParse",
	codeConflictingUpdate: "ConflictingUpdateOperators", codeCursorNotFound: "CursorNotFound",
	codeNamespaceExists: "NamespaceExists", codeMaxTimeMSExpired: "MaxTimeMSExpired",
	codeDollarPrefixedFieldName: "DollarPrefixedFieldName", codeInvalidIDField: "InvalidIdField",
	codeCommandNotFound: "CommandNotFound", codeShardKeyNotFound: "ShardKeyNotFound",
	codeWriteConcernFailed: "WriteConcernFailed", codeImmutableField: "ImmutableField",
	codeShardNotFound: "ShardNotFound", codeInvalidOptions: "InvalidOptions",
	codeInvalidNamespace: "InvalidNamespace", codeUnknownReplWriteConcern: "UnknownReplWriteConcern",
	codeUnsatisfiableWriteConcern: "UnsatisfiableWriteConcern",
	codeFailedToSatisfyReadPref:   "FailedToSatisfyReadPreference",
	codeZoneStillInUse:            "ZoneStillInUse", codeZoneNotFound: "ZoneNotFound",
	codeRangeOverlapConflict: "RangeOverlapConflict", codeTransactionTooOld: "TransactionTooOld",
	codeNotImplemented: "NotImplemented", codeInvalidPipelineOperator: "InvalidPipelineOperator",
	codeNotMaster: "NotMaster", codeNotMasterNoSlaveOk: "NotMasterNoSlaveOk", codeInterrupted: "Interrupted", codeInvalidUUID: "InvalidUUID",
	codeDuplicateKey:          "DuplicateKey",
	codeInterruptedAtShutdown: "InterruptedAtShutdown", codeBSONObjectTooLarge: "BSONObjectTooLarge",
}

// CommandError is a command's failure as the server reports it: ok 0, the code
// and the text. Faults inject one; handlers return one.
type CommandError struct {
	Code    int32
	Message string
	// Labels go into errorLabels of the reply.
	Labels []string
	// Extra fields are appended to the reply (keyPattern and alike).
	Extra bson.D
}

// Error gives the text and the code.
func (e *CommandError) Error() string { return fmt.Sprintf("(%s) %s", codeName(e.Code), e.Message) }

// reply is the document a client gets for e.
func (e *CommandError) reply() bson.D {
	d := bson.D{{Key: "ok", Value: float64(0)}, {Key: "errmsg", Value: e.Message}, {Key: "code", Value: e.Code},
		{Key: "codeName", Value: codeName(e.Code)}}
	if len(e.Labels) > 0 {
		labels := bson.A{}
		for _, l := range e.Labels {
			labels = append(labels, l)
		}
		d = append(d, bson.E{Key: "errorLabels", Value: labels})
	}
	return append(d, e.Extra...)
}

// codeName gives the server's name of a code; codes without one are
// Location<code>, as the server's uassert numbers are.
func codeName(code int32) string {
	if n, ok := codeNames[code]; ok {
		return n
	}
	return fmt.Sprintf("Location%d", code)
}

// errf makes a CommandError.
func errf(code int32, format string, args ...any) *CommandError {
	return &CommandError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// notImplemented is the honest refusal of what a real server could do and the
// stand-in cannot.
func notImplemented(format string, args ...any) *CommandError {
	return errf(codeNotImplemented, "stand-in: "+format+" is not implemented", args...)
}
