/** What the interpreter of a Dag processor has of Airflow's extensions. Told by code that nobody trusts, so all of it is bounded. */
import { z } from 'zod';

const text = z.string().max(2000);
const word = text.nullish();
const names = z.array(text).max(1000);
/** Members that Airflow does not name are passed on, as Airflow does. */
const view = { name: text, icon: word, icon_dark_mode: word, url_route: word, category: word };
const navTopLevel = z.boolean().nullish();
const destination = ['nav', 'dag', 'dag_run', 'task', 'task_instance', 'base'] as const;
const list = <T extends z.ZodType>(item: T) => z.array(item).max(1000);

export const provider = z.object({
  package_name: z.string().min(1).max(300),
  description: text,
  version: z.string().max(100),
  documentation_url: word.transform((url) => url ?? null),
});

/** As the REST API shows a plugin; what else Airflow knows of one is left out. */
export const plugin = z.object({
  name: text,
  macros: names,
  flask_blueprints: names,
  fastapi_apps: list(z.looseObject({ app: text, url_prefix: text, name: text })),
  fastapi_root_middlewares: list(z.looseObject({ middleware: text, name: text })),
  external_views: list(
    z.looseObject({ ...view, href: text, destination: z.enum(destination).default('nav'), nav_top_level: navTopLevel }),
  ),
  react_apps: list(
    z.looseObject({
      ...view,
      bundle_url: text,
      destination: z.enum([...destination, 'dashboard']).default('nav'),
      nav_top_level: navTopLevel,
    }),
  ),
  appbuilder_views: list(z.looseObject({ name: word, category: word, view: word, label: word })),
  appbuilder_menu_items: list(z.looseObject({ name: text, href: text, category: word })),
  global_operator_extra_links: names,
  operator_extra_links: names,
  source: text,
  listeners: names,
  timetables: names,
});

export const inventory = z.strictObject({
  providers: list(provider),
  /** Those that Airflow itself would not show are left out by the receiver; see `plugin`. */
  plugins: list(z.unknown()),
  plugin_import_errors: list(z.object({ source: text, error: z.string().max(100_000) })),
});
export type Inventory = z.infer<typeof inventory>;
