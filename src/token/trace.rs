//! An APDU log for figures: headers, lengths and status words, never a body.
