//! Cards behind PC/SC.
