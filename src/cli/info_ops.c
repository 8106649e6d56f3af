/* gradus info --ops: which op runs how on which device. */
#include <string.h>
#include "cli/info.h"
#include "cli/table.h"

gr_status gr_info_ops(gr_json report)
{
    char *text = gr_op_report();
    gr_json_doc *doc = text ? gr_json_parse("the report", text, strlen(text)) : NULL;
    if (doc != NULL)
        gr_json_put_copy(report, "ops", gr_json_get(gr_json_root(doc), "ops"));
    gr_json_free(doc);
    gr_free(text);
    return doc ? GR_OK : gr_error_status();
}

/* A row an op, a column a key; the first op names them. */
gr_status gr_info_print_ops(gr_json list)
{
    char heads[1024] = ""; /* of 16 devices at most */
    for (gr_json_iter it = gr_json_first(gr_json_item(list, 0)); it.key; gr_json_next(&it))
        snprintf(heads + strlen(heads), sizeof heads - strlen(heads), "%s%s", *heads ? "|" : "", it.key);
    gr_table *table = gr_table_new(heads);
    for (size_t i = 0; i < gr_json_size(list); i++)
        for (gr_json_iter it = gr_json_first(gr_json_item(list, i)); it.key; gr_json_next(&it))
            gr_table_cell(table, "%s", gr_json_as_text(it.value, NULL));
    return gr_table_print(table);
}
