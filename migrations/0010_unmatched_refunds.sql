-- An unmatched payment that was paid back by hand ends as refunded, and has to say why.

ALTER TYPE refund_reason ADD VALUE 'unmatched';
