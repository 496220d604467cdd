import { wireInstant } from '../http/instant.ts';

type Job = {
  readonly id: number;
  readonly state: string;
  readonly job_type: string;
  readonly start_date: string;
  readonly end_date: string | null;
  readonly latest_heartbeat: string;
  readonly hostname: string;
  readonly unixname: string;
};

/** A scheduler, dag-processor or triggerer as the wire shows it. */
export function jobAnswer(job: Job): object {
  return {
    id: job.id,
    dag_id: null,
    state: job.state,
    job_type: job.job_type,
    start_date: wireInstant(job.start_date),
    end_date: wireInstant(job.end_date),
    latest_heartbeat: wireInstant(job.latest_heartbeat),
    executor_class: null,
    hostname: job.hostname,
    unixname: job.unixname,
    dag_display_name: null,
  };
}
