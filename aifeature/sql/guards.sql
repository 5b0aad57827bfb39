-- Allowed changes of jobs, calls and audit rows, by any writer: a worker, admin, a shell.
-- The functions check every changed row. The same conditions in WHEN clauses of the triggers cost
-- four times as much, because PostgreSQL parses those again for each statement.

-- Return the names of the changed columns, with values only for columns that hold no content.
CREATE OR REPLACE FUNCTION aif_what_changes(p_old jsonb, p_new jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
               CASE WHEN o.key IN ('status', 'state', 'epoch', 'charge_micro', 'cost_micro')
                    THEN format('%s from %s to %s', o.key, o.value #>> '{}', p_new ->> o.key)
                    ELSE o.key END, ', ' ORDER BY o.key)
      FROM jsonb_each(p_old) o
     WHERE o.value IS DISTINCT FROM p_new -> o.key;
$$;

CREATE OR REPLACE FUNCTION aif_refuse(p_table text, p_id text, p_tried text, p_allowed text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: % is refused. %', p_table, p_id, p_tried, p_allowed
        USING ERRCODE = 'integrity_constraint_violation', TABLE = p_table;
END
$$;

CREATE OR REPLACE FUNCTION aif_refuse_change(
    p_table text, p_id text, p_old jsonb, p_new jsonb, p_allowed text)
RETURNS void
LANGUAGE sql AS $$
    SELECT aif_refuse(
        p_table, p_id, 'changing ' || aif_what_changes(p_old, p_new), p_allowed);
$$;

-- In an ended job, only the columns in `emptied` may change, so that columns added later are guarded
-- from the start.
CREATE OR REPLACE FUNCTION aif_guard_job()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    emptied CONSTANT text[] := ARRAY['input', 'result', 'partial_text', 'approval_reason',
                                     'error_message', 'idempotency_key', 'request_digest',
                                     'content_blanked_at'];
    old_row jsonb;
    new_row jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, 'deleting it',
            'A job stays; retention and erasure empty its content.');
    ELSIF OLD.status IN ('succeeded', 'failed', 'cancelled', 'rejected') THEN
        old_row := to_jsonb(OLD);
        new_row := to_jsonb(NEW);
        IF old_row - emptied IS DISTINCT FROM new_row - emptied
           OR NEW.input IS DISTINCT FROM OLD.input AND NEW.input IS NOT NULL
           OR NEW.result IS DISTINCT FROM OLD.result AND NEW.result IS NOT NULL
           OR NEW.partial_text <> OLD.partial_text AND NEW.partial_text <> ''
           OR NEW.approval_reason <> OLD.approval_reason AND NEW.approval_reason <> ''
           OR NEW.error_message <> OLD.error_message AND NEW.error_message <> ''
           OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key
              AND NEW.idempotency_key IS NOT NULL
           OR NEW.request_digest <> OLD.request_digest AND NEW.request_digest <> ''
           OR new_row -> 'content_blanked_at' <> old_row -> 'content_blanked_at'
              AND old_row ->> 'content_blanked_at' IS NOT NULL
        THEN
            PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, old_row, new_row,
                'A job that has ended stays as it is; only its content may be emptied.'
                || ' To run its input again, requeue it: that makes a new job.');
        END IF;
    ELSIF NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.feature <> OLD.feature
          OR NEW.origin <> OLD.origin OR NEW.options IS DISTINCT FROM OLD.options THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'A job keeps its id, its user, its feature, its origin and its options.');
    ELSIF NEW.status <> OLD.status AND NOT (
          CASE OLD.status
              WHEN 'queued' THEN NEW.status IN ('running', 'failed', 'cancelled')
              WHEN 'running' THEN NEW.status IN
                   ('queued', 'needs_approval', 'succeeded', 'failed', 'cancelled')
              ELSE NEW.status IN ('succeeded', 'rejected', 'cancelled', 'failed') END) THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'A queued job may become running, failed or cancelled; a running one queued,'
            || ' needs_approval, succeeded, failed or cancelled; one that needs approval'
            || ' succeeded, rejected, failed or cancelled.');
    ELSIF NEW.epoch < OLD.epoch
          OR NEW.epoch = OLD.epoch
             AND (NEW.worker <> OLD.worker
                  OR OLD.status = 'queued' AND NEW.status = 'running'
                  OR OLD.status = 'running' AND NEW.status = 'queued') THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'The epoch never falls, and it rises when a job is claimed or put back.');
    ELSIF NEW.status = 'needs_approval' AND NEW.approval_expires_at IS NULL THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'A job that needs approval has a time at which it expires (aif_await_approval).');
    ELSIF NEW.charge_micro <> OLD.charge_micro
          AND (OLD.charge_micro <> 0 OR OLD.status NOT IN ('running', 'needs_approval')
               OR NOT (NEW.status = 'succeeded'
                       OR OLD.status = 'running' AND NEW.status = 'cancelled'
                          AND NEW.cancelled_by = 'user' AND NEW.partial_text <> '')) THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'A job is charged once: when its run or its approval ends as succeeded, or when its'
            || ' user cancelled it after text was shown, which the job then keeps.');
    ELSIF NEW.partial_text <> '' AND NEW.status <> 'cancelled' THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'Only a cancelled job keeps a partial text.');
    ELSIF NEW.cancelled_by <> OLD.cancelled_by
          AND (OLD.cancelled_by <> '' OR OLD.cancel_requested_at IS NOT NULL) THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'Who cancelled a job first stays on record.');
    END IF;
    IF NEW.status IN ('queued', 'running') THEN
        -- The previous release reads and writes the reason in error_code.
        IF NEW.wait_reason = OLD.wait_reason
           AND (NEW.error_code <> OLD.error_code OR NEW.wait_reason = '') THEN
            NEW.wait_reason := NEW.error_code;
        END IF;
        NEW.error_code := NEW.wait_reason;
    ELSE
        NEW.wait_reason := '';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION aif_guard_attempt()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    may_change text[] := ARRAY['request', 'output', 'error_detail'];
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, 'deleting it',
            'A call that may be billed stays in the ledger; retention and erasure empty its'
            || ' content.');
    ELSIF NEW.id <> OLD.id OR NEW.job_id IS DISTINCT FROM OLD.job_id
          OR NEW.user_id IS DISTINCT FROM OLD.user_id OR NEW.feature <> OLD.feature
          OR NEW.budget <> OLD.budget OR NEW.epoch <> OLD.epoch OR NEW.number <> OLD.number OR NEW.purpose <> OLD.purpose
          OR NEW.provider <> OLD.provider OR NEW.model <> OLD.model OR NEW.reason <> OLD.reason
          OR NEW.prompt_version <> OLD.prompt_version OR NEW.prompt_hash <> OLD.prompt_hash
          OR NEW.bound_micro <> OLD.bound_micro OR NEW.day <> OLD.day
          OR NEW.started_at <> OLD.started_at THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'What a call was when it was begun never changes.');
    ELSIF OLD.state = 'started' THEN
        IF NEW.state NOT IN ('started', 'settled', 'failed', 'estimated', 'unknown') THEN
            PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
                'An open call may become settled, failed, estimated or unknown.');
        END IF;
    ELSE
        IF OLD.state IN ('estimated', 'unknown') AND NEW.state = 'settled' THEN
            IF btrim(NEW.settled_reason) = '' OR NEW.settled_at IS NULL THEN
                PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, 'settling it without a reason',
                    'Say in settled_reason and settled_at why and when an estimated or unknown'
                    || ' call was settled, and in settled_by who did it.');
            END IF;
            may_change := may_change || ARRAY['state', 'cost_micro', 'input_tokens',
                'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'settled_by_id',
                'settled_reason', 'settled_at'];
        END IF;
        IF to_jsonb(OLD) - may_change IS DISTINCT FROM to_jsonb(NEW) - may_change
           OR NEW.request IS DISTINCT FROM OLD.request AND NEW.request IS NOT NULL
           OR NEW.output <> OLD.output AND NEW.output <> ''
           OR NEW.error_detail <> OLD.error_detail AND NEW.error_detail <> '' THEN
            PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
                'A call that has ended stays as it is; only its content may be emptied, and only'
                || ' an estimated or unknown one be settled, once.');
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION aif_guard_audit()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text,
        CASE TG_OP WHEN 'DELETE' THEN 'deleting it' ELSE 'changing it' END,
        'The audit trail is only added to.');
    RETURN NULL;
END
$$;
