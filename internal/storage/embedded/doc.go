// Package embedded is the storage engine inside the server's process.
package embedded
