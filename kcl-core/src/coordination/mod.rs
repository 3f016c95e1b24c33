//! The fleet: sessions, plan, claims, and the one writer of every lease row.
