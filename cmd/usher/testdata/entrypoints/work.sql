create table work (state text);
select 'started';
begin;
insert into work values ('finished');
select pg_sleep(1.2);
commit;
select state from work;
