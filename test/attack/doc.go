// Package attack tries, over the wire and against a server that verifies every request, what
// somebody without the keys would try: requests unsigned, badly signed, old, changed on their way or
// smuggled into another; and, signed or not, bodies and connections that should bring a server down.
// Each test names an attack and passes when it gets nowhere.
package attack
