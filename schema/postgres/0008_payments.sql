-- Why: a slot with a price is held for whoever books it until they have paid. What the provider says arrives twice, late
-- and out of order: each notice counts once, and the state only moves on.
CREATE TABLE payments (
    id              uuid PRIMARY KEY,
    event_id        uuid        NOT NULL REFERENCES events (id),
    slot_id         uuid        NOT NULL REFERENCES open_slots (id),
    payer_id        uuid        NOT NULL REFERENCES users (id),
    payee_id        uuid        NOT NULL REFERENCES users (id),
    -- In the currency's minor unit.
    amount          bigint      NOT NULL,
    currency        text        NOT NULL,
    status          text        NOT NULL DEFAULT 'requested',
    -- The provider's name of it, and what the payer's phone pays with; NULL until the provider was asked.
    provider_ref    text,
    client_secret   text,
    refunded_amount bigint      NOT NULL DEFAULT 0,
    -- What the provider has still to be told: to pay back as much as this in all, and to take no money any more.
    refund_due      bigint      NOT NULL DEFAULT 0,
    is_cancel_due   boolean     NOT NULL DEFAULT false,
    -- The step of paying back that the provider was last asked for: it is finished before the next one, so that a repeat
    -- is the same request.
    refund_from     bigint      NOT NULL DEFAULT 0,
    refund_to       bigint      NOT NULL DEFAULT 0,
    -- Why there is no money: expired, declined, called_off.
    failure         text,
    -- Who has not paid by then has not booked.
    expires_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT payments_event_id_key UNIQUE (event_id),
    CONSTRAINT payments_provider_ref_key UNIQUE (provider_ref),
    CONSTRAINT payments_status_check CHECK (status IN ('requested', 'authorised', 'captured', 'refunded', 'failed')),
    CONSTRAINT payments_amount_check CHECK (amount > 0 AND refunded_amount BETWEEN 0 AND amount AND refund_due <= amount)
);
-- What a process looks for each second.
CREATE INDEX payments_expires_at_idx ON payments (expires_at) WHERE status IN ('requested', 'authorised');
CREATE INDEX payments_due_idx ON payments (updated_at)
    WHERE is_cancel_due OR refund_due > refunded_amount OR (provider_ref IS NULL AND status = 'requested');

CREATE TABLE payment_notices (
    -- The provider's name of the notice.
    id          text PRIMARY KEY,
    received_at timestamptz NOT NULL
);
