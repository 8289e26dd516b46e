package query

import "time"

// SetTokenClock is the clock by which ClientTokens grow old.
func (s *Service) SetTokenClock(now func() time.Time) { s.tokens.now = now }

// Ahead returns how many pages were made, or are being made, before anybody asked for them.
func (s *Service) Ahead() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ahead
}

// KeptBytes returns what is counted of pages that are kept and of rows behind them.
func (s *Service) KeptBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keptBytes
}
