package query

import "time"

// SetTokenClock is the clock by which ClientTokens grow old.
func (s *Service) SetTokenClock(now func() time.Time) { s.tokens.now = now }
