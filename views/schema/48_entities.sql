-- A name is as long as an id may be: of one of a million characters, which stands beside each point of a tenant, an
-- answer would be too large for everybody who sees that tenant.
-- Every entity of every kind: `dims` are the dimensions that its record names, `more` what else a list of them shows.
DROP VIEW IF EXISTS kpi_admin.entity;
CREATE VIEW kpi_admin.entity AS
SELECT 'tenant' AS kind, n.tenant_no, n.tenant AS id, left(coalesce(t.name, n.tenant), 1000) AS name, true AS active,
    '{}'::jsonb AS dims,
    jsonb_build_object('timezone', coalesce(t.timezone, 'UTC')) AS more
FROM kpi_data.tenant_number AS n LEFT JOIN kpi_data.tenant AS t USING (tenant_no)
UNION ALL
SELECT 'folder', tenant_no, id, left(coalesce(name, id), 1000), true, '{}', '{}' FROM kpi_data.folder
UNION ALL
SELECT 'experience', tenant_no, id, left(coalesce(name, id), 1000), true,
    jsonb_build_object('folder', coalesce(folder, 'no folder')), '{}'
FROM kpi_data.experience
UNION ALL
SELECT 'module', tenant_no, id, left(coalesce(name, id), 1000), true,
    jsonb_build_object(
        'experience', coalesce(experience, 'no experience'), 'module_type', coalesce(module_type, 'no module_type')
    ),
    jsonb_build_object('position', position)
FROM kpi_data.module
UNION ALL
SELECT 'location', tenant_no, id, left(coalesce(name, id), 1000), active, '{}', '{}' FROM kpi_data.location
UNION ALL
SELECT 'department', tenant_no, id, left(coalesce(name, id), 1000), active,
    jsonb_build_object('location', coalesce(location, 'no location')), '{}'
FROM kpi_data.department
UNION ALL
SELECT 'inbox', tenant_no, id, left(coalesce(name, id), 1000), true,
    jsonb_build_object('department', coalesce(department, 'no department')), '{}'
FROM kpi_data.inbox
UNION ALL
SELECT 'channel', tenant_no, id, left(coalesce(name, id), 1000), active, '{}',
    jsonb_build_object('channel_type', channel_type)
FROM kpi_data.channel
UNION ALL
SELECT 'user', u.tenant_no, u.id, left(coalesce(u.name, u.id), 1000), u.active,
    jsonb_build_object('role', coalesce(u.role, 'no role'), 'level', coalesce(u.level::text, 'no level'),
        'department', coalesce(u.department, 'no department'), 'location', coalesce(d.location, 'no location')), '{}'
FROM kpi_data."user" AS u LEFT JOIN kpi_data.department AS d ON d.tenant_no = u.tenant_no AND d.id = u.department
UNION ALL
SELECT 'bot', tenant_no, id, left(coalesce(name, id), 1000), active, '{}',
    jsonb_build_object('description', coalesce(description, name, id))
FROM kpi_data.bot;
